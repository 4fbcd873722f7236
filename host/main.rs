//! The `psionic` command.
fn main() {}
