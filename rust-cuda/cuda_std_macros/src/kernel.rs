//! `#[kernel]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, LitInt, Pat, Result, ReturnType, Token, Type, parenthesized};

/// `launch_bounds(threads, blocks)`.
#[derive(Default)]
struct Options {
    bounds: Option<(u32, u32)>,
}

impl Options {
    fn parse(&mut self, meta: ParseNestedMeta<'_>) -> Result<()> {
        if !meta.path.is_ident("launch_bounds") {
            return Err(meta
                .error("expected `launch_bounds(max_threads)` or `launch_bounds(max_threads, min_blocks)`"));
        }
        let inner;
        parenthesized!(inner in meta.input);
        let threads: LitInt = inner.parse()?;
        let mut blocks = 0;
        if inner.parse::<Option<Token![,]>>()?.is_some() {
            blocks = inner.parse::<LitInt>()?.base10_parse()?;
        }
        let count: u32 = threads.base10_parse()?;
        if count == 0 || count > 1024 {
            return Err(Error::new(threads.span(), "a block has 1 to 1024 threads"));
        }
        self.bounds = Some((count, blocks));
        Ok(())
    }
}

/// A parameter of the kernel, by how it is passed.
enum Kind {
    Slice { element: Type, mutable: bool },
    Pointer { target: Type, mutable: bool },
    Value(Type),
}

struct Param {
    name: Ident,
    mutable: Option<Token![mut]>,
    kind: Kind,
}

fn param(arg: &FnArg) -> Result<Param> {
    let FnArg::Typed(arg) = arg else {
        return Err(Error::new(arg.span(), "a kernel is a free function: it has no `self`"));
    };
    let name = match &*arg.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => name,
        other => return Err(Error::new(other.span(), "a kernel's parameter is a plain name")),
    };
    if let Some(attribute) = arg.attrs.first() {
        return Err(Error::new(attribute.span(), "a kernel's parameter has no attributes"));
    }
    let kind = match &*arg.ty {
        Type::Reference(r) => match &*r.elem {
            Type::Slice(s) => Kind::Slice { element: (*s.elem).clone(), mutable: r.mutability.is_some() },
            _ => {
                return Err(Error::new(
                    arg.ty.span(),
                    "a reference cannot come from the host: take a slice, a raw pointer or a value",
                ));
            }
        },
        Type::Slice(_) | Type::TraitObject(_) | Type::ImplTrait(_) | Type::BareFn(_) | Type::Infer(_) => {
            let text = "this cannot come from the host: take a slice, a raw pointer or a value";
            return Err(Error::new(arg.ty.span(), text));
        }
        Type::Ptr(p) => Kind::Pointer { target: (*p.elem).clone(), mutable: p.mutability.is_some() },
        other => Kind::Value(other.clone()),
    };
    Ok(Param { name: name.ident.clone(), mutable: name.mutability, kind })
}

pub fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut options = Options::default();
    syn::meta::parser(|meta| options.parse(meta)).parse2(attribute)?;
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    if signature.unsafety.is_none() {
        let text = "a kernel is `unsafe`: its threads share what its pointers point to";
        return Err(Error::new(signature.fn_token.span, text));
    }
    let qualifier = [
        signature.asyncness.map(|t| t.span()),
        signature.constness.map(|t| t.span()),
        signature.abi.as_ref().map(Spanned::span),
        signature.variadic.as_ref().map(Spanned::span),
    ];
    if let Some(span) = qualifier.into_iter().flatten().next() {
        return Err(Error::new(
            span,
            "a kernel is a plain `unsafe fn`: the macro gives it its calling convention",
        ));
    }
    if let ReturnType::Type(_, ty) = &signature.output {
        return Err(Error::new(ty.span(), "a kernel returns nothing: write to memory"));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        return Err(Error::new(
            signature.generics.span(),
            "a kernel is not generic: its name is what a launch looks up",
        ));
    }
    let params = signature.inputs.iter().map(param).collect::<Result<Vec<_>>>()?;
    let device = device(&function, &params, &options);
    let host = host(&function, &params, &options);
    Ok(quote! { #device #host })
}

/// The PTX entry.
fn device(function: &ItemFn, params: &[Param], options: &Options) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let name = &sig.ident;
    let (mut inputs, mut slices) = (Vec::new(), Vec::new());
    for Param { name, mutable: rebound, kind } in params {
        match kind {
            Kind::Value(ty) => inputs.push(quote!(#rebound #name: #ty)),
            Kind::Pointer { target, mutable: true } => inputs.push(quote!(#rebound #name: *mut #target)),
            Kind::Pointer { target, mutable: false } => inputs.push(quote!(#rebound #name: *const #target)),
            Kind::Slice { element, mutable } => {
                let (pointer, len) = (format_ident!("{name}_ptr"), format_ident!("{name}_len"));
                let (ty, from, view) = if *mutable {
                    (quote!(*mut #element), quote!(from_raw_parts_mut), quote!(&mut [#element]))
                } else {
                    (quote!(*const #element), quote!(from_raw_parts), quote!(&[#element]))
                };
                inputs.push(quote!(#pointer: #ty, #len: usize));
                slices.push(quote! {
                    // SAFETY: the launch passed a slice of device memory, as `Args` demands.
                    let #rebound #name: #view = unsafe { ::core::slice::#from(#pointer, #len) };
                });
            }
        }
    }
    let marker = options.bounds.map(|(threads, blocks)| {
        let text = format!("// cuda_std: launch_bounds {name} {threads} {blocks}");
        quote! { #[cfg(target_arch = "nvptx64")] ::core::arch::global_asm!(#text); }
    });
    quote! {
        #marker
        #[cfg(target_arch = "nvptx64")]
        #(#attrs)*
        #[allow(clippy::too_many_arguments)]
        #[unsafe(no_mangle)]
        #vis unsafe extern "ptx-kernel" fn #name(#(#inputs),*) {
            #(#slices)*
            #block
        }
    }
}

/// The function that the simulator runs, and its arguments.
fn host(function: &ItemFn, params: &[Param], options: &Options) -> TokenStream {
    let (name, vis) = (&function.sig.ident, &function.vis);
    let kernel = name.to_string();
    let doc = format!("How to launch the kernel [`{kernel}`](fn@{kernel}).");
    let (mut fields, mut pushes, mut calls, mut list) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Param { name, kind, .. } in params {
        let doc = format!("The kernel's `{name}`.");
        let (ty, push, call) = match kind {
            Kind::Value(ty) => (quote!(#ty), quote!(out.value(self.#name)), quote!(self.#name)),
            Kind::Pointer { target, mutable } => {
                let ty = if *mutable { quote!(DevicePtrMut) } else { quote!(DevicePtr) };
                let ty = quote!(::cuda_std::launch::#ty<#target>);
                (ty, quote!(out.value(self.#name.address())), quote!(self.#name.as_host()))
            }
            Kind::Slice { element, mutable } => {
                let ty = if *mutable { quote!(DeviceSliceMut) } else { quote!(DeviceSlice) };
                let ty = quote!(::cuda_std::launch::#ty<#element>);
                let push = quote!({
                    out.value(self.#name.address());
                    out.value(self.#name.len() as u64)
                });
                // SAFETY of the expansion: `call` is unsafe and passes the promise on.
                (ty, push, quote!(unsafe { self.#name.as_host() }))
            }
        };
        let text = name.to_string();
        fields.push(quote!(#[doc = #doc] pub #name: #ty));
        pushes.push(quote!(#push;));
        calls.push(call);
        let source = match kind {
            Kind::Value(ty) => quote!(#ty),
            Kind::Pointer { target, mutable: true } => quote!(*mut #target),
            Kind::Pointer { target, mutable: false } => quote!(*const #target),
            Kind::Slice { element, mutable: true } => quote!(&mut [#element]),
            Kind::Slice { element, mutable: false } => quote!(&[#element]),
        };
        let source = source.to_string();
        list.push(quote!(::cuda_std::launch::Param { name: #text, ty: #source }));
    }
    // A kernel that is left out has no arguments either.
    let conditions = function.attrs.iter().filter(|a| a.path().is_ident("cfg"));
    let bounds = match options.bounds {
        Some((threads, blocks)) => quote!(Some((#threads, #blocks))),
        None => quote!(None),
    };
    quote! {
        #[cfg(not(target_arch = "nvptx64"))]
        #[allow(clippy::too_many_arguments)]
        #function

        #[cfg(not(target_arch = "nvptx64"))]
        #(#conditions)*
        #[doc = #doc]
        #vis mod #name {
            #[allow(unused_imports)]
            use super::*;

            /// The kernel's arguments.
            #[derive(Clone, Copy)]
            pub struct Args { #(#fields),* }

            impl ::cuda_std::launch::KernelArgs for Args {
                const NAME: &'static str = #kernel;
                const PARAMS: &'static [::cuda_std::launch::Param] = &[#(#list),*];
                const LAUNCH_BOUNDS: Option<(u32, u32)> = #bounds;

                fn push(&self, out: &mut ::cuda_std::launch::ParamBuffer) {
                    #(#pushes)*
                }

                unsafe fn call(&self) {
                    // SAFETY: the caller promises what the kernel demands of its arguments.
                    unsafe { super::#name(#(#calls),*) }
                }
            }
        }
    }
}
