//! `decode`, which waits for its own blocks and so cannot be launched alone.

use psionic_kernels::persistent;

use crate::kernel::Kernel;

pub const KERNEL: Kernel = Kernel::without_cases::<persistent::decode::Args>(
    "whole tokens in one launch, the persistent engine",
    "psionic bench --profile",
);
