//! `shared_array!`.

use std::sync::atomic::{AtomicU32, Ordering};

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, Token, Type};

struct Array {
    element: Type,
    len: Expr,
}

impl Parse for Array {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let element = input.parse()?;
        input.parse::<Token![;]>()?;
        Ok(Self { element, len: input.parse()? })
    }
}

/// PTX has one name space for a module's shared variables: every array gets a name of its own.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let package: String = package.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("shared_{package}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let Array { element, len } = syn::parse2(input)?;
    let name = unique_name();
    let declaration = format!(".shared .align {{align}} .b8 {name}[{{bytes}}];");
    let address = format!("{{{{ .reg .u64 a; mov.u64 a, {name}; cvta.shared.u64 {{}}, a; }}}}");
    Ok(quote! {{
        #[cfg(target_arch = "nvptx64")]
        {
            // Module-level assembly must stand where items of a module stand. The size comes to it through a trait.
            mod declaration {
                pub struct Array;
                ::core::arch::global_asm!(
                    #declaration,
                    align = const <Array as ::cuda_std::shared::Extent>::ALIGN,
                    bytes = const <Array as ::cuda_std::shared::Extent>::BYTES,
                );
            }
            impl ::cuda_std::shared::Extent for declaration::Array {
                const BYTES: usize = ::core::mem::size_of::<#element>() * (#len);
                const ALIGN: usize = if ::core::mem::align_of::<#element>() > 16 {
                    ::core::mem::align_of::<#element>()
                } else {
                    16
                };
            }
            let pointer: *mut #element;
            // SAFETY: takes the address of the variable declared above.
            unsafe { ::core::arch::asm!(#address, out(reg64) pointer, options(pure, nomem, nostack)) };
            pointer
        }
        #[cfg(not(target_arch = "nvptx64"))]
        {
            static SITE: ::core::sync::atomic::AtomicU8 = ::core::sync::atomic::AtomicU8::new(0);
            ::cuda_std::shared::array_of_block::<#element>(&SITE, const { #len })
        }
    }})
}
