//! Each lint, on a kernel that has what it looks for and on one that nearly has.
use cuda_ptx::{
    lint::{Finding, Lint, lint},
    parse,
};

/// What is found in a kernel with this body. Place `@1` was inlined to line 7, place `@2` to line 8.
fn findings(body: &str) -> Vec<Finding> {
    let text = format!(
        ".version 8.0\n.target sm_90\n.shared .align 16 .b8 tile[64];\n.func panic_bounds_check() .noreturn;\n\
         .visible .entry k(.param .u64 x)\n{{\n.reg .pred %p<9>;\n.reg .b32 %r<9>;\n.reg .b64 %rd<9>;\n{body}\nret;\n}}\n\
         .file 1 \"/std/cuda_std/thread.rs\"\n.file 2 \"/src/k.rs\"\n// @1 2:7:5\n// @2 2:8:5\n"
    );
    lint(&parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn found(body: &str) -> Vec<Lint> {
    findings(body).iter().map(|finding| finding.lint).collect()
}

const DIVIDED: &str = "mov.u32 %r1, %tid.x;\nsetp.eq.u32 %p1, %r1, 5;\n";
const UNIFORM: &str = "mov.u32 %r1, %ctaid.x;\nsetp.eq.u32 %p1, %r1, 5;\n";

/// A barrier in each arm of a branch, at two places.
fn arms(first: &str, second: &str) -> String {
    format!(
        "@%p1 bra A;\n.loc 1 9 9 // {first}\nbar.sync 0;\nbra B;\nA:\n.loc 1 9 9 // {second}\nbar.sync 0;\nB:\nmembar.gl;"
    )
}

#[test]
fn copies_of_a_barrier_are_told_by_what_they_were_inlined_to() {
    assert_eq!(found(&(UNIFORM.to_owned() + &arms("@1", "@1"))), [Lint::DuplicatedBarrier]);
    assert_eq!(found(&(UNIFORM.to_owned() + &arms("@1", "@2"))), []);
    // One after the other: an unrolled loop.
    assert_eq!(found(".loc 1 9 9 // @1\nbar.sync 0;\nbar.sync 0;"), []);
    let finding = &findings(&(UNIFORM.to_owned() + &arms("@1", "@1")))[0];
    assert_eq!(finding.source.as_deref(), Some("/src/k.rs:7:5"));
    assert_eq!(finding.inlined, ["/std/cuda_std/thread.rs:9:9", "/src/k.rs:7:5"]);
}

#[test]
fn barriers_that_some_threads_miss_are_found_unless_they_say_how_many_come() {
    let body = |barrier: &str| format!("@%p1 bra A;\n{barrier};\nA:\nmembar.gl;");
    for (barrier, missed) in [
        ("bar.sync 0", true),
        ("barrier.sync.aligned 1", true),
        ("bar.sync 1, 64", false),
        ("bar.arrive 1, 64", false),
        ("bar.warp.sync -1", false),
    ] {
        let expected = if missed { vec![Lint::DivergentBarrier] } else { vec![] };
        assert_eq!(found(&(DIVIDED.to_owned() + &body(barrier))), expected, "{barrier}");
        assert_eq!(found(&(UNIFORM.to_owned() + &body(barrier))), [], "{barrier}");
    }
}

#[test]
fn generic_accesses_are_found_where_the_space_is_known() {
    let shared = "mov.b64 %rd1, tile; cvta.shared.u64 %rd2, %rd1; add.s64 %rd3, %rd2, 8;";
    assert_eq!(found(&format!("{shared} ld.u32 %r1, [%rd3+4];")), [Lint::GenericAccess]);
    assert_eq!(found(&format!("{shared} ld.shared.u32 %r1, [%rd3+4];")), []);
    assert_eq!(found("ld.param.u64 %rd1, [x]; ld.u32 %r1, [%rd1];"), []);
    // It may be either, depending on the way.
    let either = "cvta.shared.u64 %rd2, %rd1; @%p1 bra A; mov.u64 %rd2, %rd4; A: ld.u32 %r1, [%rd2];";
    assert_eq!(found(either), []);
}

#[test]
fn neighbours_are_found_where_nothing_lies_between_them() {
    for (body, expected) in [
        ("ld.global.u32 %r1, [%rd1]; ld.global.u32 %r2, [%rd1+4];", true),
        ("ld.global.u32 %r1, [%rd1]; add.u32 %r3, %r1, 1; ld.global.u32 %r2, [%rd1+4];", true),
        ("st.global.u32 [%rd1+8], %r1; st.global.u32 [%rd1+12], %r2;", true),
        // Not aligned for eight bytes.
        ("ld.global.u32 %r1, [%rd1+4]; ld.global.u32 %r2, [%rd1+8];", false),
        ("ld.global.u32 %r1, [%rd1]; ld.global.u32 %r2, [%rd1+8];", false),
        ("ld.global.u32 %r1, [%rd1]; ld.global.nc.u32 %r2, [%rd1+4];", false),
        ("ld.global.u32 %r1, [%rd1]; bar.sync 0; ld.global.u32 %r2, [%rd1+4];", false),
        ("ld.global.u32 %r1, [%rd1]; add.s64 %rd1, %rd1, 4; ld.global.u32 %r2, [%rd1+4];", false),
        ("ld.global.u32 %r1, [%rd1]; st.global.u32 [%rd2], %r1; ld.global.u32 %r2, [%rd1+4];", false),
        ("ld.volatile.global.u32 %r1, [%rd1]; ld.volatile.global.u32 %r2, [%rd1+4];", false),
        (
            "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1]; ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd1+16];",
            false,
        ),
    ] {
        let expected = if expected { vec![Lint::MissedVector] } else { vec![] };
        assert_eq!(found(body), expected, "{body}");
    }
}

#[test]
fn doubles_panics_and_unscoped_atomics_are_found() {
    for (body, expected) in [
        ("add.f64 %rd1, %rd1, %rd1;", Some(Lint::Double)),
        ("ld.global.f64 %rd1, [%rd2];", None),
        ("call.uni panic_bounds_check, ();", Some(Lint::Panic)),
        ("call.uni helper, ();", None),
        ("atom.global.add.u32 %r1, [%rd1], 1;", Some(Lint::UnscopedAtomic)),
        ("red.add.u32 [%rd1], 1;", Some(Lint::UnscopedAtomic)),
        ("atom.relaxed.gpu.global.add.u32 %r1, [%rd1], 1;", None),
        ("atom.shared.add.u32 %r1, [tile], 1;", None),
    ] {
        assert_eq!(found(body), expected.into_iter().collect::<Vec<_>>(), "{body}");
    }
}
