//! The GPU code of a program.

/// What [`CudaBuilder::embed`](https://docs.rs/cuda_builder) made of a program's kernels; [`program!`](crate::program)
/// names it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The program's name and version, noted beside what is kept in the cache of compiled code.
    pub name: &'static str,
    /// The kernels as PTX, by compute capability, the lowest first.
    pub ptx: &'static [(u32, &'static str)],
    /// What compiled the kernels.
    pub compiler: Option<&'static str>,
    /// Why there is no PTX, and what to do.
    pub missing: Option<&'static str>,
}

/// The [`Program`] that the build script of this crate has embedded.
///
/// ```ignore
/// static KERNELS: Program = cuda_device::program!();
/// ```
#[macro_export]
macro_rules! program {
    () => {
        include!(concat!(env!("OUT_DIR"), "/program.rs"))
    };
}
