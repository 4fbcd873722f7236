//! `#[gpu_only]` and `#[externally_visible]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, ItemFn, Result};

pub fn gpu(item: TokenStream) -> Result<TokenStream> {
    let ItemFn { attrs, vis, sig, block } = syn::parse2(item)?;
    let text = format!("`{}` can only be called on a GPU: it has no form for the simulator", sig.ident);
    Ok(quote! {
        #[cfg(target_arch = "nvptx64")]
        #(#attrs)*
        #vis #sig #block

        #[cfg(not(target_arch = "nvptx64"))]
        #[allow(unused_variables)]
        #(#attrs)*
        #[track_caller]
        #vis #sig {
            ::core::panic!(#text)
        }
    })
}

pub fn visible(item: TokenStream) -> Result<TokenStream> {
    let item: Item = syn::parse2(item)?;
    Ok(quote! {
        #[cfg_attr(target_arch = "nvptx64", unsafe(no_mangle))]
        #item
    })
}
