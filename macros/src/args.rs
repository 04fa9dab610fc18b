//! What may be written between the parentheses of `#[task(…)]`.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Path, Token, parenthesized, token};

use crate::crontab::{Crontab, NAMES};

/// The huey and the options.
pub struct Args {
    /// The static that holds the huey.
    pub huey: Path,
    /// The task's name, if it is not the function's.
    pub name: Option<LitStr>,
    /// When it runs by itself.
    pub period: Option<Period>,
    /// The variant of `Overlap`.
    pub overlap: Option<Ident>,
    /// It runs on an OS thread.
    pub offload: bool,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Bytes of stack.
    pub stack_size: Option<u64>,
}

/// When a periodic task runs.
pub enum Period {
    /// `crontab(…)` or `cron(…)`.
    Crontab(Box<Crontab>),
    /// `when = …`: a function of the time.
    When(Path),
}

const NO_HUEY: &str = "tell #[task] first which huey runs it, as in `#[task(HUEY)]`: a static, \
                       such as `static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new(\"my-app\"));`";

const OPTIONS: &str = "crontab(minute = \"0\", …), cron(\"*/10 * * * * *\"), when = predicate, \
                       overlap = \"skip\", offload, timeout = \"30s\", stack_size = \"1MiB\" and \
                       name = \"…\"";

/// As `runtime().stack_size(…)` has it.
const LEAST_STACK: u64 = 64 << 10;
const MOST_STACK: u64 = 1 << 30;

impl Parse for Args {
    fn parse(input: ParseStream) -> syn::Result<Args> {
        let mut args = Args {
            huey: parse_huey(input)?,
            name: None,
            period: None,
            overlap: None,
            offload: false,
            timeout: None,
            stack_size: None,
        };
        let (mut overlap_at, mut stack_at) = (Span::call_site(), Span::call_site());
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let option = parse_option(input)?;
            let was_there = match option.to_string().as_str() {
                "crontab" | "cron" => args.period.replace(crontab(input, &option)?).is_some(),
                "when" => args.period.replace(parse_when(input, &option)?).is_some(),
                "overlap" => {
                    overlap_at = option.span();
                    args.overlap.replace(parse_overlap(input, &option)?).is_some()
                }
                "name" => args.name.replace(parse_name(input, &option)?).is_some(),
                "offload" => {
                    if !(input.is_empty() || input.peek(Token![,])) {
                        return Err(input.error("offload stands alone: it takes no value"));
                    }
                    std::mem::replace(&mut args.offload, true)
                }
                "timeout" => args.timeout.replace(parse_timeout(input, &option)?).is_some(),
                "stack_size" => {
                    stack_at = option.span();
                    args.stack_size.replace(parse_stack_size(input, &option)?).is_some()
                }
                name => {
                    let message = if name == "tz" || NAMES.contains(&name) {
                        format!("`{option}` is a crontab's: write crontab({option} = …)")
                    } else {
                        format!("#[task] has no option `{option}`; it has {OPTIONS}")
                    };
                    return Err(syn::Error::new(option.span(), message));
                }
            };
            if was_there {
                let message = if option == "crontab" || option == "cron" || option == "when" {
                    "a task has one period: one crontab, cron or when".to_owned()
                } else {
                    format!("`{option}` is given twice")
                };
                return Err(syn::Error::new(option.span(), message));
            }
        }
        if args.overlap.is_some() && args.period.is_none() {
            let message = "overlap says what happens when a periodic task is due while it still \
                           runs: it needs crontab(…), cron(…) or when = … beside it";
            return Err(syn::Error::new(overlap_at, message));
        }
        if args.offload && args.stack_size.is_some() {
            let message = "an offloaded task runs on an OS thread, with that thread's stack: \
                           expected offload or stack_size, not both";
            return Err(syn::Error::new(stack_at, message));
        }
        Ok(args)
    }
}

/// The name of an option.
fn parse_option(input: ParseStream) -> syn::Result<Ident> {
    let start = input.span();
    if let Ok(option) = input.call(Ident::parse_any) {
        return Ok(option);
    }
    let text = input.parse::<LitStr>().map(|text| text.value()).unwrap_or_default();
    let message = match text.split_whitespace().count() {
        5 => format!("a crontab's text goes into crontab(…): write crontab({text:?})"),
        6 => format!("a crontab's text with six fields goes into cron(…): write cron({text:?})"),
        _ => format!("expected an option: #[task] has {OPTIONS}"),
    };
    Err(syn::Error::new(start, message))
}

fn crontab(input: ParseStream, option: &Ident) -> syn::Result<Period> {
    let is_cron = option == "cron";
    if !input.peek(token::Paren) {
        let message = if is_cron {
            "cron has its six fields in parentheses: cron(\"*/10 * * * * *\")"
        } else {
            "crontab has its fields in parentheses: crontab(minute = \"0\", hour = \"4\") or \
             crontab(\"0 4 * * *\")"
        };
        return Err(syn::Error::new(option.span(), message));
    }
    let content;
    parenthesized!(content in input);
    let crontab = if is_cron { Crontab::parse_six(&content) } else { Crontab::parse(&content) };
    Ok(Period::Crontab(Box::new(crontab?)))
}

fn parse_when(input: ParseStream, option: &Ident) -> syn::Result<Period> {
    let predicate = input.parse::<Token![=]>().and_then(|_| Path::parse_mod_style(input));
    let message = "when is the name of a function: write when = predicate, with a \
                   `fn predicate(now: &DateTime<Local>) -> bool`";
    predicate.map(Period::When).map_err(|_| syn::Error::new(option.span(), message))
}

/// `= "…"`, else says that it is to be this.
fn parse_text(input: ParseStream, option: &Ident, example: &str) -> syn::Result<LitStr> {
    let text = input.parse::<Token![=]>().and_then(|_| input.parse());
    text.map_err(|_| {
        let message = format!("{option} is a text, in quotes: {option} = {example}");
        syn::Error::new(option.span(), message)
    })
}

fn parse_huey(input: ParseStream) -> syn::Result<Path> {
    if input.is_empty() {
        return Err(syn::Error::new(Span::call_site(), NO_HUEY));
    }
    let start = input.span();
    let huey = Path::parse_mod_style(input).map_err(|_| syn::Error::new(start, NO_HUEY))?;
    // An option stands where the huey should.
    if input.peek(token::Paren) || input.peek(Token![=]) {
        return Err(syn::Error::new(start, NO_HUEY));
    }
    Ok(huey)
}

fn parse_overlap(input: ParseStream, option: &Ident) -> syn::Result<Ident> {
    let text = parse_text(input, option, "\"skip\", \"queue\" or \"beside\"")?;
    let variant = match text.value().as_str() {
        "beside" => "Beside",
        "skip" => "Skip",
        "queue" => "Queue",
        _ => {
            let message = "expected \"beside\" (it runs beside its last run, the default), \
                           \"skip\" (not this time) or \"queue\" (after its last run)";
            return Err(syn::Error::new(text.span(), message));
        }
    };
    Ok(Ident::new(variant, text.span()))
}

fn parse_name(input: ParseStream, option: &Ident) -> syn::Result<LitStr> {
    let name = parse_text(input, option, "\"…\"")?;
    if name.value().is_empty() {
        return Err(syn::Error::new(name.span(), "a task's name can't be empty"));
    }
    Ok(name)
}

fn parse_timeout(input: ParseStream, option: &Ident) -> syn::Result<Duration> {
    let text = parse_text(input, option, "\"30s\"")?;
    match humantime::parse_duration(&text.value()) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        Ok(_) => Err(syn::Error::new(text.span(), "a time-out of 0 leaves no time to run")),
        Err(error) => {
            let message = format!("expected a duration such as \"30s\", \"1m 30s\": {error}");
            Err(syn::Error::new(text.span(), message))
        }
    }
}

fn parse_stack_size(input: ParseStream, option: &Ident) -> syn::Result<u64> {
    let text = parse_text(input, option, "\"1MiB\"")?;
    let expected = "expected a size from \"64KiB\" to \"1GiB\", such as \"1MiB\"";
    match parse_size::parse_size(text.value()) {
        Ok(bytes) if (LEAST_STACK..=MOST_STACK).contains(&bytes) => Ok(bytes),
        Ok(bytes) => Err(syn::Error::new(text.span(), format!("{bytes} bytes; {expected}"))),
        Err(error) => Err(syn::Error::new(text.span(), format!("{expected}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_overlap_is_the_variant_that_it_names() {
        for (text, variant) in [("beside", "Beside"), ("skip", "Skip"), ("queue", "Queue")] {
            let args: Args =
                syn::parse_str(&format!("HUEY, crontab(), overlap = {text:?}")).unwrap();
            assert_eq!(args.overlap.unwrap(), variant);
        }
    }
}
