//! Tests every intrinsic of `cuda_std` against its expected behaviour: always on the simulator, and on a GPU if
//! `PSIONIC_TEST_BACKEND=cuda` is set. The tests are in `tests/`, the kernels in `kernels/`.
//!
//! This library is shared by the tests: a [`Machine`] that has memory and launches kernels.

mod machine;
mod random;

pub use machine::{Buffer, KERNELS, Machine, for_each_machine, for_each_newer_machine};
pub use random::Random;
