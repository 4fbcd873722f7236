//! Compiles the kernels to PTX and puts them into the program.

use cuda_builder::{CudaBuilder, CudaBuilderError, NvvmArch};

fn main() -> Result<(), CudaBuilderError> {
    CudaBuilder::new("kernels").embed(&[NvvmArch::Compute80, NvvmArch::Compute90])
}
