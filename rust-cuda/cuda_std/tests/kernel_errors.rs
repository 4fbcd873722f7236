//! What `#[kernel]` says of functions that cannot be kernels. The messages are the macro's own.

#[test]
fn functions_that_cannot_be_kernels_are_refused_with_the_reason() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/kernels/good.rs");
    cases.compile_fail("tests/kernels/bad.rs");
}
