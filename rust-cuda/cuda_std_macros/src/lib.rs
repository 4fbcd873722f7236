//! The macros of `cuda_std`: [`macro@kernel`], [`shared_array!`], and others that programs for upstream use. Use them
//! through `cuda_std`.

mod address_space;
mod kernel;
mod only;
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

/// Says where a `static` lies: `shared`, then each block has its own, or `global` or `constant`, where the compiler puts
/// it anyway.
///
/// A shared one begins with any bits: the initial value is not used. It is used as `NAME[i]`, `*NAME` or `NAME.method()`;
/// a pointer to it is `&raw mut *NAME`. [`shared_array!`] with a `cuda_std::shared::Slice` is faster.
#[proc_macro_attribute]
pub fn address_space(attribute: TokenStream, item: TokenStream) -> TokenStream {
    address_space::expand(attribute.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// A function that has only a GPU's form: on the simulator its call ends the launch with a fault that says so.
#[proc_macro_attribute]
pub fn gpu_only(_: TokenStream, item: TokenStream) -> TokenStream {
    only::gpu(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Keeps a `static` or a function in the PTX, under its own name, though no kernel uses it.
#[proc_macro_attribute]
pub fn externally_visible(_: TokenStream, item: TokenStream) -> TokenStream {
    only::visible(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
