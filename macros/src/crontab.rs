//! Crontabs in source code: parsed when the program is compiled, so that a mistake is an error at
//! the literal that holds it. What stands between the parentheses of `crontab!(…)`, and of
//! `crontab(…)` and `cron(…)` in `#[task]`.

use minihuey_crontab::{CrontabError, Fields};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, Ident, Lit, LitStr, Token};

/// A crontab that was read, with the zone it is in, if any.
pub struct Crontab {
    fields: Fields,
    zone: Option<Expr>,
}

/// What the fields are called.
pub const NAMES: [&str; 6] = ["second", "minute", "hour", "day", "month", "day_of_week"];

/// The text of one field and where it stands.
type FieldText = (String, Span);

const LINE_AND_FIELD: &str =
    "a line says all fields already; after it there can only be `tz = …`, the time zone";

/// `"0 4 * * *"`, or `minute = "0", hour = 4`; either with `tz = expression`.
impl Parse for Crontab {
    fn parse(input: ParseStream) -> syn::Result<Crontab> {
        if input.peek(LitStr) {
            let line: LitStr = input.parse()?;
            let fields = line.value().parse().map_err(|error| refuse(line.span(), &error))?;
            return Ok(Crontab { fields, zone: zone_after_line(input)? });
        }
        parse_fields(input)
    }
}

impl Crontab {
    /// `"*/10 * * * * *"`: six fields and nothing else, for `cron(…)`.
    pub fn parse_six(input: ParseStream) -> syn::Result<Crontab> {
        if !input.peek(LitStr) {
            return Err(input.error(
                "expected six fields in a string, seconds first: cron(\"*/10 * * * * *\")",
            ));
        }
        let line: LitStr = input.parse()?;
        let text = line.value();
        let found = text.split_whitespace().count();
        if found != 6 {
            let mut message = format!(
                "cron takes six fields (second minute hour day month day_of_week), found {found}"
            );
            if found == 5 {
                message += &format!(": write crontab({text:?}), or cron(\"0 {text}\")");
            }
            return Err(syn::Error::new(line.span(), message));
        }
        let fields = text.parse().map_err(|error| refuse(line.span(), &error))?;
        Ok(Crontab { fields, zone: zone_after_line(input)? })
    }
}

fn zone_after_line(input: ParseStream) -> syn::Result<Option<Expr>> {
    if input.is_empty() {
        return Ok(None);
    }
    input.parse::<Token![,]>()?;
    if input.is_empty() {
        return Ok(None);
    }
    let option = input.call(Ident::parse_any)?;
    if option != "tz" {
        return Err(syn::Error::new(option.span(), LINE_AND_FIELD));
    }
    input.parse::<Token![=]>()?;
    let zone = input.parse()?;
    input.parse::<Option<Token![,]>>()?;
    Ok(Some(zone))
}

fn parse_fields(input: ParseStream) -> syn::Result<Crontab> {
    let mut texts: [Option<FieldText>; 6] = Default::default();
    let mut zone = None;
    while !input.is_empty() {
        let option = input.call(Ident::parse_any)?;
        let twice = if option == "tz" {
            input.parse::<Token![=]>()?;
            zone.replace(input.parse()?).is_some()
        } else if let Some(place) = NAMES.iter().position(|name| option == name) {
            input.parse::<Token![=]>()?;
            texts[place].replace(field_text(input)?).is_some()
        } else {
            let message = format!(
                "a crontab has no `{option}`; it has {} and, for the time zone, tz",
                NAMES.join(", ")
            );
            return Err(syn::Error::new(option.span(), message));
        };
        if twice {
            return Err(syn::Error::new(option.span(), format!("`{option}` is given twice")));
        }
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    let fields = fields(&texts).map_err(|error| {
        let at_fault = NAMES.iter().position(|name| error.field() == Some(name));
        let text = at_fault.and_then(|place| texts[place].as_ref());
        refuse(text.map_or_else(Span::call_site, |(_, span)| *span), &error)
    })?;
    Ok(Crontab { fields, zone })
}

fn field_text(input: ParseStream) -> syn::Result<FieldText> {
    let span = input.span();
    match input.parse() {
        Ok(Lit::Str(text)) => Ok((text.value(), text.span())),
        Ok(Lit::Int(number)) => Ok((number.base10_digits().to_owned(), number.span())),
        _ => Err(syn::Error::new(span, "expected a string such as \"*/5\", or a whole number")),
    }
}

fn fields(texts: &[Option<FieldText>; 6]) -> Result<Fields, CrontabError> {
    let [second, minute, hour, day, month, day_of_week] =
        texts.each_ref().map(|text| text.as_ref().map(|(text, _)| text.as_str()));
    let every = "*";
    let fields = Fields::new(
        minute.unwrap_or(every),
        hour.unwrap_or(every),
        day.unwrap_or(every),
        month.unwrap_or(every),
        day_of_week.unwrap_or(every),
    )?;
    match second {
        Some(second) => fields.with_second(second),
        None => Ok(fields),
    }
}

fn refuse(span: Span, error: &CrontabError) -> syn::Error {
    syn::Error::new(span, error)
}

/// An expression; a constant one, if there is no zone.
impl ToTokens for Crontab {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let fields = &self.fields;
        let (seconds, minutes, hours) = (fields.seconds(), fields.minutes(), fields.hours());
        let (days, months) = (fields.days(), fields.months());
        let (days_of_week, every_hour) = (fields.days_of_week(), fields.every_hour());
        tokens.extend(quote! {
            ::minihuey::Crontab::from_fields(::minihuey::crontab::Fields::from_bits(
                #seconds, #minutes, #hours, #days, #months, #days_of_week, #every_hour
            ))
        });
        if let Some(zone) = &self.zone {
            tokens.extend(quote!(.in_zone(#zone)));
        }
    }
}
