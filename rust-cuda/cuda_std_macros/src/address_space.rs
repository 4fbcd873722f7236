//! `#[address_space]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Ident, ItemStatic, Result};

pub fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let space: Ident = syn::parse2(attribute)?;
    let item: ItemStatic = syn::parse2(item)?;
    match space.to_string().as_str() {
        "shared" => Ok(shared(item)),
        // Where the compiler puts it anyway: it knows best what nobody writes.
        "global" | "constant" => Ok(quote!(#item)),
        "local" => Err(Error::new(
            space.span(),
            "a thread's own variables are its `let`s: remove the attribute and the `static`",
        )),
        _ => Err(Error::new(space.span(), "expected `shared`, `global` or `constant`")),
    }
}

/// A place that finds the block's variable when it is used.
fn shared(item: ItemStatic) -> TokenStream {
    let ItemStatic { attrs, vis, mutability, ident, ty, .. } = item;
    let place = format_ident!("__shared_{ident}");
    quote! {
        #[allow(non_camel_case_types)]
        #[doc(hidden)]
        #vis struct #place;

        impl #place {
            #[inline(always)]
            fn address() -> *mut #ty {
                ::cuda_std::shared_array![#ty; 1]
            }
        }

        impl ::core::ops::Deref for #place {
            type Target = #ty;

            #[inline(always)]
            fn deref(&self) -> &#ty {
                // SAFETY: the block's variable; whoever uses a `static mut` answers for what others do with it.
                unsafe { &*Self::address() }
            }
        }

        impl ::core::ops::DerefMut for #place {
            #[inline(always)]
            fn deref_mut(&mut self) -> &mut #ty {
                // SAFETY: as above.
                unsafe { &mut *Self::address() }
            }
        }

        #(#attrs)*
        #vis static #mutability #ident: #place = #place;
    }
}
