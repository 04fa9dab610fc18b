//! Which of a task's attributes go to which of the items that it becomes. `cfg` and `cfg_attr` are
//! not among them: the compiler applies them before it expands a macro, wherever they stand.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Meta};

/// A task's attributes, by where they go.
#[derive(Default)]
pub struct Attributes {
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
            let path = attribute.path();
            if path.segments.last().is_some_and(|last| last.ident == "task") {
                let message = "a function is one task: for a second, write another function that \
                               calls this one's `call_local`";
                return Err(syn::Error::new_spanned(attribute, message));
            }
            let name = path.get_ident().map(ToString::to_string).unwrap_or_default();
            let place = match name.as_str() {
                "doc" if matches!(attribute.meta, Meta::NameValue(_)) => &mut sorted.front,
                "doc" | "deprecated" => &mut sorted.both,
                "must_use" => &mut sorted.local,
                "allow" | "warn" | "deny" | "forbid" => {
                    sorted.lints.push(attribute.to_token_stream());
                    &mut sorted.body
                }
                // Only one of the copies could meet the expectation.
                "expect" => {
                    sorted.lints.extend(allow(&attribute.meta));
                    &mut sorted.body
                }
                _ => &mut sorted.body,
            };
            place.push(attribute.to_token_stream());
        }
        Ok(sorted)
    }
}

fn allow(expect: &Meta) -> Option<TokenStream> {
    let lints = &expect.require_list().ok()?.tokens;
    Some(quote!(#[allow(#lints)]))
}
