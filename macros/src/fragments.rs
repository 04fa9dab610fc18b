//! What the parsers of this crate say of token streams that are made of plausible fragments, by
//! the thousand: no panic, and an error always has a text and a place. MINIHUEY_CASES says how
//! many, MINIHUEY_SEED which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use quote::ToTokens;

use crate::args::Args;
use crate::crontab::Crontab;
use crate::expand::expand;
use crate::signature::Function;

const CASES: u64 = 5_000;

/// A small generator, so that a run can be repeated by its seed alone (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.next(texts.len())]
    }

    /// The first one, more often than not.
    fn mostly<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        if self.next(4) > 0 { texts[0] } else { self.one_of(texts) }
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")),
        Err(_) => default,
    }
}

/// Makes texts, and calls `check` with each, which tells whether it was taken. Some must be, and
/// some must not: else the generator proves little.
fn try_texts(make: impl Fn(&mut Random) -> String, check: impl Fn(&str) -> bool) {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("MINIHUEY_SEED", time);
    let cases = from_environment("MINIHUEY_CASES", CASES);
    println!("MINIHUEY_CASES={cases} MINIHUEY_SEED={seed}");
    let mut random = Random(seed | 1);
    let mut taken = 0;
    for _ in 0..cases {
        let text = make(&mut random);
        match catch_unwind(AssertUnwindSafe(|| check(&text))) {
            Ok(is_taken) => taken += u64::from(is_taken),
            Err(panic) => {
                println!("the text was: {text}");
                std::panic::resume_unwind(panic);
            }
        }
        // Else all texts are kept, and looked through for each place.
        proc_macro2::extra::invalidate_current_thread_spans();
    }
    assert!((cases / 50..cases / 50 * 49).contains(&taken), "{taken} of {cases} were taken");
}

/// Gives true if there was no error; checks it if there was.
#[track_caller]
fn is_taken<T>(parsed: syn::Result<T>, text: &str) -> bool {
    let Err(errors) = parsed else { return true };
    for error in errors.clone() {
        assert!(!error.to_string().trim().is_empty(), "an error without a text");
        let place = error.span().byte_range();
        assert!(place.start <= place.end);
        if place.is_empty() {
            // Only what is missing has no place in the text: its end is where it should be.
            let message = error.to_string();
            let is_missing = message.starts_with("unexpected end of input")
                || message.starts_with("expected ")
                || message.starts_with("tell #[task] first which huey");
            assert!(is_missing, "{message:?} has no place in {text}");
        }
    }
    assert!(!errors.into_compile_error().is_empty());
    false
}

const FIELDS: [&str; 9] =
    ["minute", "hour", "day", "month", "day_of_week", "second", "tz", "year", "r#minute"];

const FIELD_VALUES: [&str; 16] = [
    "\"0\"",
    "\"*/5\"",
    "4",
    "0",
    "61",
    "-1",
    "1_0",
    "0x1F",
    "5u8",
    "1.5",
    "\"mon-fri\"",
    "\"\"",
    "\" \"",
    "'a'",
    "b\"1\"",
    "\"1-5/2\"",
];

const ZONES: [&str; 4] = ["Utc", "chrono_tz::Europe::Berlin", "f(x, [1, 2])", "{ 1 }"];

const LINES: [&str; 12] = [
    "\"0 4 * * *\"",
    "\"*/10 * * * * *\"",
    "\"0 9 * * MON-FRI\"",
    "\"0 0 30 2 *\"",
    "\"\"",
    "\"* * * *\"",
    "\"* * * * * * *\"",
    "\"61 * * * *\"",
    "r\"0 4 * * *\"",
    "r#\"* * * * *\"#",
    "b\"* * * * *\"",
    "\"\\u{663} * * * *\"",
];

/// What stands between the parentheses of `crontab!`.
fn crontab_text(random: &mut Random) -> String {
    if random.next(3) == 0 {
        let mut text = random.one_of(&LINES).to_owned();
        if random.next(3) == 0 {
            text += random.one_of(&[",", ", tz", ", tz =", ", minute = 1", ";", " tz = Utc"]);
        } else if random.next(2) == 0 {
            text += &format!(", tz = {}", random.one_of(&ZONES));
        }
        return text;
    }
    let options: Vec<String> = (0..random.next(4))
        .map(|_| {
            let field = random.one_of(&FIELDS);
            let value = random.one_of(if field == "tz" { &ZONES[..] } else { &FIELD_VALUES[..] });
            format!("{field} = {value}")
        })
        .collect();
    options.join(", ") + random.one_of(&["", "", ","])
}

const DURATIONS: [&str; 14] = [
    "30s",
    "1m 30s",
    "0s",
    "",
    "s",
    "30",
    "-1s",
    "1.5s",
    "1y",
    "99999999999999999999s",
    "18446744073709551615s 1s",
    "5 seconds",
    "1h1h",
    "٣s",
];

const SIZES: [&str; 14] = [
    "1MiB",
    "64KiB",
    "1GiB",
    "63KiB",
    "2GiB",
    "0",
    "",
    "MiB",
    "1.5 MiB",
    "-1MiB",
    "1e3KiB",
    "99999999999999999999GiB",
    "17179869184 GiB",
    "65536",
];

/// A number and a unit, as people write them.
fn quantity(random: &mut Random, known: &[&str], units: &[&str]) -> String {
    if random.next(3) == 0 {
        return random.one_of(known).to_owned();
    }
    let number = match random.next(4) {
        0 => random.next(1 << 31).to_string(),
        1 => format!("{}{}", random.next(1 << 31), random.next(1 << 31)),
        _ => random.next(1000).to_string(),
    };
    let space = random.one_of(&["", "", " ", "\t"]);
    format!("{number}{space}{}", random.one_of(units))
}

const TIME_UNITS: [&str; 12] =
    ["ns", "us", "ms", "s", "sec", "m", "min", "h", "days", "w", "y", "fortnights"];
const SIZE_UNITS: [&str; 12] =
    ["", "B", "k", "K", "kB", "KB", "KiB", "MiB", "MB", "GiB", "TiB", "EiB"];

fn option_text(random: &mut Random) -> String {
    match random.next(14) {
        0 | 1 => format!("crontab({})", crontab_text(random)),
        2 => format!("cron({})", random.one_of(&LINES)),
        3 => random.one_of(&["when = is_due", "when = a::b::c", "when = |x| true", "when"]).into(),
        4 => {
            let overlaps = ["\"skip\"", "\"queue\"", "\"beside\"", "\"Skip\"", "skip", "1", ""];
            format!("overlap = {}", random.one_of(&overlaps))
        }
        5 => random.one_of(&["offload", "offload = true", "offload()", "offload, offload"]).into(),
        6..=8 => format!("timeout = {:?}", quantity(random, &DURATIONS, &TIME_UNITS)),
        9 | 10 => format!("stack_size = {:?}", quantity(random, &SIZES, &SIZE_UNITS)),
        11 => format!("name = {}", random.one_of(&["\"a name\"", "\"\"", "a", "\"é\"", "1"])),
        12 => {
            random.one_of(&["timeout = 30", "timeout", "stack_size = 1", "timout = \"3s\""]).into()
        }
        _ => {
            random.one_of(&["fn", "self", "_", "#", "=", "'a", "::", "{}", "[,]", "r#type"]).into()
        }
    }
}

/// What stands between the parentheses of `#[task]`.
fn args_text(random: &mut Random) -> String {
    let hueys = ["HUEY", "HUEY", "HUEY", "crate::HUEY", "a::b::H", "", "\"HUEY\"", "HUEY()", "::H"];
    let mut parts = vec![random.one_of(&hueys).to_owned()];
    parts.extend((0..random.next(4)).map(|_| option_text(random)));
    parts.join(random.one_of(&[", ", ", ", ", ", ", ", ",,", " ", ";"]))
}

/// A function, more or less.
fn function_text(random: &mut Random) -> String {
    let attribute = random.mostly(&[
        "",
        "",
        "",
        "/// Adds.\n",
        "#[deprecated]",
        "#[must_use = \"x\"]",
        "#[expect(unused)]",
        "#[expect]",
        "#[task(OTHER)]",
        "#[allow(dead_code)] #[doc(hidden)]",
        "#[doc = include!(\"x\")]",
    ]);
    let visibility = random.mostly(&["", "", "pub", "pub(crate)", "pub(in a::b)", "crate"]);
    let qualifier =
        random.mostly(&["", "", "", "", "", "async", "unsafe", "const", "extern \"C\""]);
    let kind = random.mostly(&["fn", "fn", "fn", "fn", "fn", "struct", ""]);
    let name = random.mostly(&["add", "add", "r#type", "_", "Self", "é"]);
    let generics = random.mostly(&["", "", "", "", "<T>", "<'a>", "<const N: usize>", "<>"]);
    let parameters: Vec<&str> = (0..random.next(4))
        .map(|_| {
            random.mostly(&[
                "a: i64",
                "mut b: String",
                "c: Vec<u8>",
                "_: u32",
                "d: &str",
                "e: impl Fn()",
                "self",
                "&self",
                "(x, y): (u8, u8)",
                "ref f: u8",
                "g: fn(&u8) -> &u8",
                "h: Box<dyn Fn(&str)>",
                "i: [u8; { 1 + 1 }]",
                "#[cfg(x)] j: u8",
                "k",
                "...",
                "l: &'static str",
            ])
        })
        .collect();
    let output = random.mostly(&[
        "",
        "",
        "-> i64",
        "-> Result<(), String>",
        "-> std::io::Result<u8>",
        "-> Alias",
        "-> !",
        "-> impl Display",
        "-> &str",
        "-> &'static str",
        "-> (u8, u8)",
        "-> Option<Result<u8, E>>",
        "->",
    ]);
    let bound = random.mostly(&["", "", "", "where u8: Copy", "where"]);
    let body = random.mostly(&["{}", "{ a + b }", "{ loop {} }", ";", "", "{} {}"]);
    format!(
        "{attribute} {visibility} {qualifier} {kind} {name}{generics}({}) {output} {bound} {body}",
        parameters.join(", ")
    )
}

#[test]
fn whatever_stands_in_crontab_is_a_crontab_or_an_error_at_its_place() {
    try_texts(crontab_text, |text| {
        let parsed = syn::parse_str::<Crontab>(text);
        if let Ok(crontab) = &parsed {
            let expression = crontab.to_token_stream();
            syn::parse2::<syn::Expr>(expression).expect("a crontab is an expression");
        }
        is_taken(parsed, text)
    });
}

#[test]
fn whatever_stands_in_task_is_understood_or_an_error_at_its_place() {
    try_texts(args_text, |text| is_taken(syn::parse_str::<Args>(text), text));
}

#[test]
fn whatever_task_stands_on_becomes_items_or_an_error_at_its_place() {
    try_texts(function_text, |text| {
        let args: Args = syn::parse_str("HUEY").unwrap();
        let periodic: Args = syn::parse_str("HUEY, crontab(), overlap = \"skip\"").unwrap();
        let parsed = syn::parse_str::<Function>(text);
        let Ok(function) = &parsed else { return is_taken(parsed, text) };
        let expanded = expand(&args, function);
        for items in [&expanded, &expand(&periodic, function)].into_iter().flatten() {
            syn::parse2::<syn::File>(items.clone()).expect("what it becomes are items");
        }
        is_taken(expanded, text)
    });
}

#[test]
fn a_time_out_is_taken_as_the_duration_that_its_parts_say() {
    let make = |random: &mut Random| {
        let parts: Vec<_> = (0..=random.next(4))
            .map(|_| {
                let most = [100, 1 << 31][random.next(2)];
                let number = random.next(most);
                let units = ["s", "ms", "us", "ns", "min", "h", "d", "s", "min", "h", "x"];
                format!("{number} {}", random.one_of(&units))
            })
            .collect();
        parts.join(" ")
    };
    try_texts(make, |text| {
        let words: Vec<_> = text.split(' ').collect();
        let nanos = |part: &[&str]| -> Option<u128> {
            let unit = match part[1] {
                "ns" => 1,
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "min" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                _ => return None,
            };
            Some(part[0].parse::<u128>().unwrap() * unit)
        };
        let sum: Option<u128> = words.chunks(2).map(nanos).sum();
        // Nothing at all is refused, too.
        let expected = sum.filter(|sum| *sum > 0);
        let parts: Vec<_> = words.chunks(2).map(<[_]>::concat).collect();
        for text in [text.to_owned(), parts.join(" "), parts.concat()] {
            let args = format!("HUEY, timeout = {text:?}");
            let timeout = syn::parse_str::<Args>(&args).ok().map(|args| args.timeout.unwrap());
            assert_eq!(timeout.map(|timeout| timeout.as_nanos()), expected, "{args}");
        }
        expected.is_some()
    });
}

#[test]
fn a_stack_size_is_taken_as_the_bytes_that_it_says_if_there_may_be_so_many() {
    let make = |random: &mut Random| {
        let number = [random.next(2000), random.next(1 << 31)][random.next(2)];
        format!("{number} {}", random.one_of(&["B", "kB", "KiB", "MB", "MiB", "GiB", "TiB", "x"]))
    };
    try_texts(make, |text| {
        let (number, unit) = text.split_once(' ').unwrap();
        let bytes = number.parse::<u128>().unwrap()
            * match unit {
                "B" => 1,
                "kB" => 1000,
                "KiB" => 1 << 10,
                "MB" => 1_000_000,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                "TiB" => 1 << 40,
                _ => 0,
            };
        let expected = (64 << 10..=1 << 30).contains(&bytes).then_some(bytes);
        let args = format!("HUEY, stack_size = \"{number}{unit}\"");
        let found = syn::parse_str::<Args>(&args).ok().and_then(|args| args.stack_size);
        assert_eq!(found.map(u128::from), expected, "{args}");
        expected.is_some()
    });
}
