//! The macros of `cuda_std`: [`macro@kernel`] and [`shared_array!`]. Use them through `cuda_std`.

mod kernel;
mod shared;

use proc_macro::TokenStream;

/// Makes a function a GPU kernel.
///
/// For a GPU it becomes a PTX entry of the same name. A slice is passed as two parameters, pointer and length, as
/// Rust-CUDA does. `#[kernel(launch_bounds(256))]` or `#[kernel(launch_bounds(256, 2))]` tells the compiler the most
/// threads a block will have, and the fewest blocks that should fit on a multiprocessor.
///
/// For the host it stays a function, run by the simulator, and a module of the same name holds its `Args`: a struct
/// with the kernel's parameters, slices and pointers being those of device memory. `Args` is what a launch takes, so a
/// missing, swapped or mistyped argument does not compile.
#[proc_macro_attribute]
pub fn kernel(attribute: TokenStream, item: TokenStream) -> TokenStream {
    kernel::expand(attribute.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// `shared_array![T; N]`: a static array in the block's shared memory, as `*mut T`. It is not initialised.
#[proc_macro]
pub fn shared_array(input: TokenStream) -> TokenStream {
    shared::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
