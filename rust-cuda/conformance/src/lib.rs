//! Runs every intrinsic of `cuda_std` against what it should do: on the simulator always, and on a GPU when
//! `PSIONIC_TEST_BACKEND=cuda` is set. The tests are in `tests/`, the kernels in `kernels/`.
//!
//! This library is what the tests share: a [`Machine`] with memory that launches kernels.

mod machine;
mod random;

pub use machine::{Buffer, KERNELS, Machine, for_each_machine, for_each_newer_machine};
pub use random::Random;
