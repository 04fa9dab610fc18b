//! Which functions can be tasks, and what each refusal says.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::visit::{self, Visit};
use syn::{
    Attribute, FnArg, Ident, Lifetime, ParenthesizedGenericArguments, Pat, ReturnType, Signature,
    Token, Type, TypeBareFn, TypeImplTrait, TypeReference, Visibility,
};

/// A function whose body nobody has looked into.
pub struct Function {
    pub attributes: Vec<Attribute>,
    pub visibility: Visibility,
    pub signature: Signature,
    pub body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream) -> syn::Result<Function> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let start = input.span();
        let on_a_function = |_| syn::Error::new(start, "#[task] goes on a function");
        let signature = input.parse().map_err(on_a_function)?;
        if input.peek(Token![;]) {
            return Err(input.error("#[task] goes on a function with a body"));
        }
        // Not parsed as a group, for which only what has delimiters is taken: a `$body:block` of
        // some macro has braces inside of a group without.
        let TokenTree::Group(body) = input.parse()? else {
            return Err(input.error("#[task] goes on a function with a body"));
        };
        Ok(Function { attributes, visibility, signature, body })
    }
}

/// One parameter, without the `mut` that concerns the body alone.
pub struct Parameter {
    pub name: Ident,
    pub of_type: Type,
}

/// Reads the parameters of a function that can be a task; for any other, says all that is in the
/// way.
pub fn parameters(signature: &Signature, periodic: bool) -> syn::Result<Vec<Parameter>> {
    let mut refusals = Refusals::default();
    refusals.look_at_qualifiers(signature);
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match parameter(input) {
            Ok(parameter) => {
                refusals.visit_type(&parameter.of_type);
                parameters.push(parameter);
            }
            Err(refusal) => refusals.note(refusal),
        }
    }
    if periodic && refusals.0.is_none() && !parameters.is_empty() {
        refusals.say(
            &signature.inputs,
            "a periodic task has no parameters: when it runs by itself, nobody is there to give \
             them",
        );
    }
    if let ReturnType::Type(_, output) = &signature.output {
        refusals.look_at_output(output);
    }
    match refusals.0 {
        None => Ok(parameters),
        Some(refusal) => Err(refusal),
    }
}

fn parameter(input: &FnArg) -> syn::Result<Parameter> {
    let input = match input {
        FnArg::Receiver(receiver) => {
            return Err(syn::Error::new_spanned(
                receiver,
                "a task can't be a method: it is a function of its own, that takes all it needs \
                 as parameters and owns it",
            ));
        }
        FnArg::Typed(input) => input,
    };
    if let Some(cfg) = input.attrs.iter().find(|attribute| attribute.path().is_ident("cfg")) {
        return Err(syn::Error::new_spanned(
            cfg,
            "a task's parameters are the same in every build: put #[cfg] on two tasks instead",
        ));
    }
    match &*input.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            Ok(Parameter { name: pat.ident.clone(), of_type: (*input.ty).clone() })
        }
        pat => Err(syn::Error::new_spanned(
            pat,
            "a task's parameter has a plain name, which its callers see: write `name: Type` and \
             take the value apart in the body",
        )),
    }
}

/// All that is in the way, as one error.
#[derive(Default)]
struct Refusals(Option<syn::Error>);

impl Refusals {
    fn note(&mut self, refusal: syn::Error) {
        match &mut self.0 {
            Some(refusals) => refusals.combine(refusal),
            None => self.0 = Some(refusal),
        }
    }

    fn say(&mut self, at: impl ToTokens, message: &str) {
        self.note(syn::Error::new_spanned(at, message));
    }

    fn look_at_qualifiers(&mut self, signature: &Signature) {
        if let Some(token) = &signature.asyncness {
            self.say(
                token,
                "a task is a blocking function, not an async one: it runs in a green thread, \
                 which may block. Take `async` and every `.await` away",
            );
        }
        if let Some(token) = &signature.unsafety {
            self.say(
                token,
                "a task can't be an unsafe function: who runs it later can't keep the caller's \
                 promises. Call the unsafe function in the body of a safe one",
            );
        }
        if let Some(token) = &signature.constness {
            self.say(
                token,
                "a task can't be a const function: it runs in a green thread, never when the \
                 program is compiled",
            );
        }
        if let Some(abi) = &signature.abi {
            self.say(
                abi,
                "a task can't be an extern function: call that in the body of a plain one",
            );
        }
        let generics = &signature.generics;
        if !generics.params.is_empty() {
            self.say(
                generics,
                "a task can't be generic: it has one name and fixed types. Call the generic \
                 function in the body of a task for each type that you need",
            );
        } else if let Some(clause) = &generics.where_clause
            && !clause.predicates.is_empty()
        {
            self.say(clause, "a task has fixed types and no `where`");
        }
    }

    fn look_at_output(&mut self, output: &Type) {
        if let Type::Never(never) = output {
            self.say(never, "a task that never returns gives no value to wait for: return `()`");
        }
        self.visit_type(output);
    }

    fn borrowed(&mut self, at: impl ToTokens) {
        self.say(
            at,
            "a task owns its arguments and its value, for it may run after its caller has \
             returned: write String for &str, Vec<T> for &[T], T or Arc<T> for &T (&'static is \
             fine)",
        );
    }
}

/// Looks for what may not be in the types of a task: borrows and `impl Trait`. References in the
/// types of functions are fine.
impl Visit<'_> for Refusals {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        match &reference.lifetime {
            Some(lifetime) if lifetime.ident == "static" => self.visit_type(&reference.elem),
            _ => self.borrowed(reference),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident != "static" {
            self.borrowed(lifetime);
        }
    }

    fn visit_type_impl_trait(&mut self, at: &TypeImplTrait) {
        self.say(
            at,
            "a task has fixed types, and `impl Trait` is not one: name the type, or box it",
        );
    }

    fn visit_type_bare_fn(&mut self, _: &TypeBareFn) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &ParenthesizedGenericArguments) {}

    fn visit_type_trait_object(&mut self, object: &syn::TypeTraitObject) {
        // `for<'a>` brings lifetimes of its own.
        let own = |bound: &syn::TypeParamBound| matches!(bound, syn::TypeParamBound::Trait(bound) if bound.lifetimes.is_some());
        if !object.bounds.iter().any(own) {
            visit::visit_type_trait_object(self, object);
        }
    }
}

/// What the return type says on the face of it about the value that the task gives.
pub enum Face {
    /// It gives this, if names mean what they do in most programs.
    Gives(TokenStream),
    /// It may be an alias of a `Result`.
    Unclear,
}

/// Types of std that are not taken for aliases of `Result`, for the sake of readable signatures.
const PLAIN: &str = "bool char f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize \
                     String PathBuf Duration Option Box Arc Vec HashMap HashSet BTreeMap BTreeSet";

pub fn face(output: &Type) -> Face {
    let path = match output {
        Type::Path(path) if path.qself.is_none() => &path.path,
        Type::Tuple(_) | Type::Array(_) | Type::Reference(_) | Type::BareFn(_) => {
            return Face::Gives(output.to_token_stream());
        }
        _ => return Face::Unclear,
    };
    let Some(last) = path.segments.last() else { return Face::Unclear };
    let name = last.ident.to_string();
    if PLAIN.split_whitespace().any(|plain| plain == name) {
        return Face::Gives(output.to_token_stream());
    }
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Face::Unclear;
    };
    let first_type = arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(first) => Some(first.to_token_stream()),
        _ => None,
    });
    match first_type {
        Some(first) if name.ends_with("Result") => Face::Gives(first),
        _ => Face::Unclear,
    }
}
