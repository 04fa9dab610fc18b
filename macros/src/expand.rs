//! What a task becomes.
//!
//! ```text
//! fn add(a: i64, b: i64) -> TaskResult<i64>     what the user calls
//! enum add {}                                   add::schedule, add::map, add::call_local
//! fn __task_add(a: i64, b: i64) -> i64          the function as it was written
//! enum __task_add {}                            implements Declaration: what the library calls
//! inventory::submit!                            how its huey finds it
//! ```
//! all in a macro of its own, for the sake of one message: [`outside_of_an_impl`].
//!
//! A function and an empty enum may share a name, for one is a value and the other a type; an
//! import brings both. The enum could be a module, but the types in a module's signatures would
//! have to be found from there: `self::`, `super::` and what a function body declares could not.
//!
//! Nothing here names a lifetime, a variable or an import of its own where the user's would be
//! in its way; and each piece of the user's code that can be at fault is checked in one place
//! only, `Declaration`, so that one mistake is one error.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{LitStr, ReturnType, Signature};

use crate::args::{Args, Period};
use crate::attributes::Attributes;
use crate::signature::{Face, Function, Parameter, face, parameters};

pub fn expand(args: &Args, function: &Function) -> syn::Result<TokenStream> {
    let Function { visibility, signature, body, .. } = function;
    let parameters = parameters(signature, args.period.is_some())?;
    let attributes = Attributes::sort(&function.attributes)?;

    let name = &signature.ident;
    let hidden = &Ident::new(&format!("__task_{}", name.unraw()), Span::mixed_site());
    let declaration = Declared { name, hidden, args, parameters: &parameters, signature };
    let value = declaration.value();
    let implementation = declaration.implementation(&value);
    let submission = declaration.submission();

    let (names, types): (Vec<_>, Vec<_>) =
        parameters.iter().map(|parameter| (&parameter.name, &parameter.of_type)).unzip();
    let tuple = quote!((#(#types,)*));

    let Attributes { front, both, lints, local, body: on_body } = &attributes;
    let output = &signature.output;
    let inputs = &signature.inputs;
    let ways = format!("The ways to call the task [`{name}`](fn@{name}) other than as a function.");
    let local_doc = format!(
        "Calls the function itself, here and now: what [`{name}`](fn@{name}) is without `#[task]`."
    );

    // The names of generated parameters are no one's business but theirs.
    let arguments = Ident::new("args", Span::mixed_site());
    let eta = Ident::new("eta", Span::mixed_site());

    // Where the return type is at fault, each of these says the same at the same place, and is
    // shown once.
    let at_output = declaration.at_output();
    let task_result = quote_spanned!(at_output=> ::minihuey::TaskResult<#value>);
    let group = quote_spanned!(at_output=> ::minihuey::Group<#value>);
    let private = quote_spanned!(at_output=> ::minihuey::__private);
    let call = quote_spanned!(at_output=> #private::call::<#hidden>((#(#names,)*)));
    let schedule = quote_spanned!(at_output=> #private::schedule::<#hidden>(#arguments, #eta));
    let map = quote_spanned!(at_output=> #private::map::<#hidden>(#arguments));

    let items = quote! {
        #(#front)* #(#both)*
        #[doc = ""]
        #[doc = "A task: the call returns at once, and the result comes when it has run."]
        #(#lints)*
        #[allow(dead_code, clippy::too_many_arguments, clippy::used_underscore_binding)]
        #visibility fn #name(#(#names: #types),*) -> #task_result {
            #call
        }

        #(#both)*
        #[doc = #ways]
        #[allow(dead_code, non_camel_case_types, missing_debug_implementations, missing_copy_implementations)]
        #visibility enum #name {}

        #(#lints)*
        #[allow(dead_code, deprecated, clippy::too_many_arguments, clippy::used_underscore_binding)]
        impl #name {
            /// Has the task run with these arguments when `eta` comes: a delay or a time.
            ///
            /// One that is due already runs at once. For any other the huey must be started.
            #visibility fn schedule(
                #arguments: #tuple,
                #eta: impl ::core::convert::Into<::minihuey::Eta>,
            ) -> #task_result {
                #schedule
            }

            /// Calls the task once for each of several arguments.
            #visibility fn map(
                #arguments: impl ::core::iter::IntoIterator<Item = #tuple>,
            ) -> #group {
                #map
            }

            #[doc = #local_doc]
            #(#local)*
            #visibility fn call_local(#(#names: #types),*) #output {
                #hidden(#(#names),*)
            }
        }

        #(#on_body)*
        fn #hidden(#inputs) #output #body

        #[allow(non_camel_case_types)]
        enum #hidden {}

        #(#lints)*
        #[allow(clippy::used_underscore_binding)]
        #implementation

        #submission
    };
    Ok(outside_of_an_impl(name, &items))
}

/// Puts the items where there is but one thing to be told of them if the task stands in an impl,
/// which the macro can't see: there no macro can be defined, so this one is not found, and its name
/// says why. Anywhere else it gives the items as they are.
fn outside_of_an_impl(task: &Ident, items: &TokenStream) -> TokenStream {
    let here = Span::mixed_site().located_at(task.span());
    let alone = Ident::new("a_task_is_a_free_function_not_one_in_an_impl", here);
    quote_spanned! {here=>
        macro_rules! #alone { ($($item:tt)*) => { $($item)* } }
        #alone! { #items }
    }
}

/// What `Declaration` and the submission are made of.
struct Declared<'a> {
    name: &'a Ident,
    hidden: &'a Ident,
    args: &'a Args,
    parameters: &'a [Parameter],
    signature: &'a Signature,
}

impl Declared<'_> {
    fn output(&self) -> TokenStream {
        match &self.signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, output) => output.to_token_stream(),
        }
    }

    /// Whether the function returns a `Result`, as a constant.
    fn is_result(&self) -> TokenStream {
        let output = self.output();
        quote_spanned! {self.at_output()=> {
            #[allow(unused_imports)]
            use ::minihuey::__private::NotResult as _;
            <::minihuey::__private::Probe<#output>>::IS_RESULT
        }}
    }

    /// Where to point when the return type is at fault.
    fn at_output(&self) -> Span {
        match &self.signature.output {
            ReturnType::Default => self.name.span(),
            ReturnType::Type(_, output) => output.span(),
        }
    }

    fn face(&self) -> Face {
        match &self.signature.output {
            ReturnType::Default => Face::Gives(quote!(())),
            ReturnType::Type(_, output) => face(output),
        }
    }

    /// The type that the task gives.
    fn value(&self) -> TokenStream {
        match self.face() {
            Face::Gives(value) => value,
            Face::Unclear => {
                let (is_result, output) = (self.is_result(), self.output());
                quote_spanned! {self.at_output()=>
                    ::minihuey::__private::Value<#is_result, #output>
                }
            }
        }
    }

    fn implementation(&self, value: &TokenStream) -> TokenStream {
        let Declared { name, hidden, args, parameters, .. } = self;
        let (names, types): (Vec<_>, Vec<_>) =
            parameters.iter().map(|parameter| (&parameter.name, &parameter.of_type)).unzip();
        let at_parameters = self.signature.paren_token.span.join();
        let tuple = quote_spanned!(at_parameters=> (#(#types,)*));
        let (is_result, output) = (self.is_result(), self.output());
        let huey = &args.huey;
        let huey_ref = quote_spanned!(huey.span()=> impl ::minihuey::HueyRef);
        let full_name = match &args.name {
            Some(name) => name.to_token_stream(),
            None => {
                let name = LitStr::new(&name.unraw().to_string(), name.span());
                quote!(::core::concat!(::core::module_path!(), "::", #name))
            }
        };
        let run = quote_spanned! {self.at_output()=>
            <::minihuey::__private::Gives<#is_result> as ::minihuey::__private::Outcome<#output>>
                ::outcome(Self::NAME, #hidden(#(#names),*))
        };
        let run = match self.face() {
            Face::Unclear => run,
            Face::Gives(_) => quote_spanned! {self.at_output()=>
                ::minihuey::__private::into_shown::<Self::Value, _>(#run)
            },
        };
        let meta = self.meta();
        let about_output = quote_spanned! {self.at_output()=>
            type Value = #value;

            fn run(
                (#(#names,)*): Self::Args,
            ) -> ::core::result::Result<Self::Value, ::minihuey::__private::Failure> {
                #run
            }
        };
        quote! {
            impl ::minihuey::__private::Declaration for #hidden {
                type Args = #tuple;

                const NAME: &'static str = #full_name;
                const META: &'static ::minihuey::__private::TaskMeta = &#meta;

                fn place() -> &'static #huey_ref {
                    &#huey
                }

                #about_output
            }
        }
    }

    /// What is known of the task before it is called.
    fn meta(&self) -> TokenStream {
        let Args { offload, timeout, stack_size, .. } = self.args;
        let offload = offload.then(|| quote!(.offload()));
        let timeout = timeout.map(|timeout| {
            let (secs, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
            quote!(.timeout(::core::time::Duration::new(#secs, #nanos)))
        });
        let stack_size = stack_size.map(|bytes| quote!(.stack_size(#bytes as usize)));
        quote!(::minihuey::__private::TaskMeta::new(Self::NAME) #offload #timeout #stack_size)
    }

    fn submission(&self) -> TokenStream {
        let Declared { hidden, args, .. } = self;
        let declared = match &args.period {
            None => quote!(of::<#hidden>()),
            Some(period) => {
                let period = match period {
                    Period::Crontab(crontab) => crontab.to_token_stream(),
                    Period::When(predicate) => predicate.to_token_stream(),
                };
                let overlap = args
                    .overlap
                    .as_ref()
                    .map(|overlap| quote!(.overlap(::minihuey::Overlap::#overlap)));
                let output = self.output();
                let ending = quote_spanned! {self.at_output()=>
                    ::minihuey::__private::ending::<#output>()
                };
                quote! {
                    periodic::<#hidden>(|| {
                        #ending;
                        let period = ::minihuey::Period::from(#period) #overlap;
                        (period, ::minihuey::__private::body::<#hidden>())
                    })
                }
            }
        };
        quote! {
            ::minihuey::__private::inventory::submit! {
                ::minihuey::__private::Declared::#declared
            }
        }
    }
}
