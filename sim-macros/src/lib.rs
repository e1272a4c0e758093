//! The attribute `afunix_sim::test`.

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, ItemFn, Token, parse_macro_input};

/// One argument: `runs = 1000`.
struct Setting {
    name: Ident,
    value: Expr,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        if !["runs", "seed", "faults", "plan"].iter().any(|known| name == known) {
            let message = "the arguments are runs, seed, faults and plan, as in `runs = 1000`";
            return Err(Error::new(name.span(), message));
        }
        input.parse::<Token![=]>()?;
        Ok(Setting { name, value: input.parse()? })
    }
}

/// Makes a test of a function that takes a `&afunix_sim::Test`: it is the first process of each of
/// many simulated runs, of which none may fail.
///
/// Arguments are the fields of `afunix_sim::Settings`: `#[afunix_sim::test(runs = 1000)]`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let settings =
        parse_macro_input!(arguments with Punctuated::<Setting, Token![,]>::parse_terminated);
    let function = parse_macro_input!(item as ItemFn);
    let signature = &function.sig;
    if signature.inputs.len() != 1 || signature.asyncness.is_some() {
        let message = "a simulated test takes one argument: `fn name(sim: &afunix_sim::Test)`";
        return Error::new_spanned(signature, message).to_compile_error().into();
    }
    let names = settings.iter().map(|setting| &setting.name);
    let values = settings.iter().map(|setting| &setting.value);
    let (name, attributes, visibility) = (&signature.ident, &function.attrs, &function.vis);
    let (inputs, output, body) = (&signature.inputs, &signature.output, &function.block);
    quote! {
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility fn #name() {
            fn body(#inputs) #output #body
            #[allow(clippy::needless_update)]
            let settings = ::afunix_sim::Settings {
                #(#names: #values,)*
                ..::core::default::Default::default()
            };
            ::afunix_sim::run_test(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                settings,
                body,
            );
        }
    }
    .into()
}
