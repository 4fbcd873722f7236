//! Compiles the conformance kernels to PTX, for the architectures that the intrinsics have forms for.

use cuda_builder::{CudaBuilder, CudaBuilderError, NvvmArch};

fn main() -> Result<(), CudaBuilderError> {
    CudaBuilder::new("kernels").embed(&[NvvmArch::Compute80, NvvmArch::Compute90])
}
