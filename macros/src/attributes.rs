//! Which of a task's attributes go to which of the items that it becomes.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// A task's attributes, by where they go.
#[derive(Default)]
pub struct Attributes {
    /// `cfg`.
    pub everywhere: Vec<TokenStream>,
    /// Documentation: to the function that is called.
    pub front: Vec<TokenStream>,
    /// `deprecated` and `doc(hidden)`: to all that the user's code can name.
    pub both: Vec<TokenStream>,
    /// Lint levels: to whatever repeats the signature.
    pub lints: Vec<TokenStream>,
    /// `must_use`: to `call_local`, for a `TaskResult` must be used in any case.
    pub local: Vec<TokenStream>,
    /// All others, and the lint levels too: to the function as it was written.
    pub body: Vec<TokenStream>,
}

impl Attributes {
    pub fn sort(attributes: &[Attribute]) -> syn::Result<Attributes> {
        let mut sorted = Attributes::default();
        for attribute in attributes {
            let meaning = meaning(attribute);
            let path = meaning.path();
            if path.segments.last().is_some_and(|last| last.ident == "task") {
                let message = "a function is one task: for a second, write another function that \
                               calls this one's `call_local`";
                return Err(syn::Error::new_spanned(attribute, message));
            }
            let name = path.get_ident().map(ToString::to_string).unwrap_or_default();
            let place = match name.as_str() {
                "cfg" => &mut sorted.everywhere,
                "doc" if matches!(meaning, Meta::NameValue(_)) => &mut sorted.front,
                "doc" | "deprecated" => &mut sorted.both,
                "must_use" => &mut sorted.local,
                "allow" | "warn" | "deny" | "forbid" => {
                    sorted.lints.push(attribute.to_token_stream());
                    &mut sorted.body
                }
                // Only one of the copies could meet the expectation.
                "expect" => {
                    sorted.lints.extend(allow(&meaning));
                    &mut sorted.body
                }
                _ => &mut sorted.body,
            };
            place.push(attribute.to_token_stream());
        }
        Ok(sorted)
    }
}

/// The attribute itself, or the first one that a `cfg_attr` stands for.
fn meaning(attribute: &Attribute) -> Meta {
    let first_of_cfg_attr = |input: ParseStream| {
        input.parse::<Meta>()?;
        input.parse::<Token![,]>()?;
        let metas = Punctuated::<Meta, Token![,]>::parse_terminated(input)?;
        metas.into_iter().next().ok_or_else(|| input.error("nothing"))
    };
    if attribute.path().is_ident("cfg_attr")
        && let Ok(meta) = attribute.parse_args_with(first_of_cfg_attr)
    {
        return meta;
    }
    attribute.meta.clone()
}

fn allow(expect: &Meta) -> Option<TokenStream> {
    let lints = &expect.require_list().ok()?.tokens;
    Some(quote!(#[allow(#lints)]))
}
