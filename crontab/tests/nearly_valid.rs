//! Text that is nearly a crontab, by the hundred thousand: no panic, just the language is taken,
//! and what is taken prints and parses back. MINIHUEY_CASES says how many, MINIHUEY_SEED which.

use std::time::{SystemTime, UNIX_EPOCH};

use minihuey_crontab::Fields;

const CASES: u64 = 100_000;

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
}

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")),
        Err(_) => default,
    }
}

const NAMES: [&str; 6] = ["second", "minute", "hour", "day", "month", "day_of_week"];
const LOW: [u32; 6] = [0, 0, 0, 1, 1, 0];
const HIGH: [u32; 6] = [59, 59, 23, 31, 12, 6];
const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";
const DAYS: &str = "sun mon tue wed thu fri sat";

/// What the language's table says of one value: a number, or a name where there are some.
fn value(place: usize, text: &str) -> Option<u32> {
    let names = [MONTHS, DAYS].get(place.wrapping_sub(4)).copied().unwrap_or("");
    if let Some(position) = names.split(' ').position(|name| name == text.to_ascii_lowercase()) {
        return (!text.is_empty()).then_some(LOW[place] + position as u32);
    }
    let digits = text.trim_start_matches('0');
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let number = match digits.len() {
        0 => 0,
        1..=9 => digits.parse().ok()?,
        _ => return None,
    };
    let most = if place == 5 { 7 } else { HIGH[place] };
    (is_number && LOW[place] <= number && number <= most).then_some(number)
}

/// The set that a field's text means, by the table alone; None if it is not in it.
fn set(place: usize, text: &str) -> Option<u64> {
    let mut set = 0_u64;
    for piece in text.split(',') {
        let parts: Vec<&str> = piece.split('/').collect();
        let (first, last) = match parts[0].split('-').collect::<Vec<_>>()[..] {
            ["*"] => (LOW[place], HIGH[place]),
            [single] if parts.len() == 1 => (value(place, single)?, value(place, single)?),
            [first, last] => match (value(place, first)?, value(place, last)?) {
                (first, last) if first <= last => (first, last),
                (first, last) if place == 5 => (first, last + 7),
                _ => return None,
            },
            _ => return None,
        };
        let step = match parts[1..] {
            [] => 1,
            // Digits and nothing else, as a minute is, but longer.
            [step] if step.chars().all(|c| c.is_ascii_digit()) => match step.parse::<u128>() {
                Ok(1) => 1,
                Ok(step) if step >= 1 && step <= u128::from(last - first) => step as u32,
                _ => return None,
            },
            _ => return None,
        };
        let mut at = first;
        while at <= last {
            set |= 1 << if place == 5 { at % 7 } else { at };
            at += step;
        }
    }
    Some(set)
}

/// The sets of a line; None if it is not in the language.
fn sets(line: &str) -> Option<[u64; 6]> {
    let texts: Vec<&str> = line.split_whitespace().collect();
    let texts = match texts.len() {
        5 => [&["0"], &texts[..]].concat(),
        6 => texts,
        _ => return None,
    };
    let mut sets = [0; 6];
    for (place, text) in texts.into_iter().enumerate() {
        sets[place] = set(place, text)?;
    }
    let longest = |month: u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let comes =
        |month: u32| sets[4] >> month & 1 == 1 && sets[3].trailing_zeros() <= longest(month);
    (1..=12).any(comes).then_some(sets)
}

fn some_value(random: &mut Random, place: usize) -> String {
    let (low, span) = (LOW[place], HIGH[place] - LOW[place] + 1);
    let number = low + random.next(span as usize) as u32;
    let names = [MONTHS, DAYS].get(place.wrapping_sub(4)).copied().unwrap_or("");
    let name = names.split(' ').nth((number - low) as usize).unwrap_or("");
    match random.next(12) {
        0 => (HIGH[place] + random.next(3) as u32).to_string(),
        1 => format!("{number:03}"),
        2 if !name.is_empty() => name.to_uppercase(),
        3 | 4 if !name.is_empty() => name.to_owned(),
        _ => number.to_string(),
    }
}

fn some_piece(random: &mut Random, place: usize) -> String {
    let step = 1 + random.next(1 + (HIGH[place] as usize) / 2);
    match random.next(10) {
        0..=2 => "*".to_owned(),
        3..=4 => format!("*/{step}"),
        5..=7 => some_value(random, place),
        _ => {
            let (a, b) = (some_value(random, place), some_value(random, place));
            let range = match (value(place, &a), value(place, &b)) {
                (Some(first), Some(last)) if first > last => format!("{b}-{a}"),
                _ => format!("{a}-{b}"),
            };
            if random.next(3) == 0 { format!("{range}/{}", 1 + step / 6) } else { range }
        }
    }
}

const FRAGMENTS: [&str; 36] = [
    "*",
    "/",
    "-",
    ",",
    " ",
    "0",
    "1",
    "2",
    "5",
    "7",
    "9",
    "12",
    "23",
    "31",
    "59",
    "60",
    "jan",
    "FEB",
    "mon",
    "Sun",
    "+",
    "?",
    "L",
    "W",
    "#",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "é",
    "٣",
    "\u{a0}",
    "\u{2028}",
    "4294967296",
    "99999999999999999999999999999999999999999",
    "*/",
];

fn some_line(random: &mut Random) -> String {
    if random.next(12) == 0 {
        return (0..random.next(20)).map(|_| random.one_of(&FRAGMENTS)).collect();
    }
    let places = if random.next(4) == 0 { 0..6 } else { 1..6 };
    let fields: Vec<String> = places
        .map(|place| {
            let pieces = if random.next(4) == 0 { 1 + random.next(4) } else { 1 };
            let pieces: Vec<String> = (0..pieces).map(|_| some_piece(random, place)).collect();
            pieces.join(",")
        })
        .collect();
    let mut line: Vec<char> = fields.join(" ").chars().collect();
    // Most are left as they are, or have one thing wrong.
    for _ in 0..[0, 0, 0, 1, 1, 1, 2, 5][random.next(8)] {
        let at = random.next(line.len().max(1)).min(line.len());
        match random.next(5) {
            0 if at < line.len() => drop(line.remove(at)),
            1 if at < line.len() => line.insert(at, line[at]),
            2 if at + 1 < line.len() => line.swap(at, at + 1),
            3 if at < line.len() => drop(line.splice(at..=at, random.one_of(&FRAGMENTS).chars())),
            _ => drop(line.splice(at..at, random.one_of(&FRAGMENTS).chars())),
        }
    }
    line.into_iter().collect()
}

fn check(line: &str) -> bool {
    let expected = sets(line);
    match line.parse::<Fields>() {
        Ok(fields) => {
            let found = [
                fields.seconds(),
                fields.minutes(),
                fields.hours().into(),
                fields.days().into(),
                fields.months().into(),
                fields.days_of_week().into(),
            ];
            assert_eq!(Some(found), expected, "{line:?} was taken");
            let printed = fields.to_string();
            let again = printed.parse::<Fields>();
            assert_eq!(again.as_ref(), Ok(&fields), "{line:?} printed as {printed:?}");
            assert_eq!(again.unwrap().to_string(), printed);
            true
        }
        Err(error) => {
            assert_eq!(expected, None, "{line:?} was refused: {error}");
            let text = error.to_string();
            assert!(!text.is_empty() && text.lines().count() == 1, "{line:?}: {text:?}");
            assert!(error.field().is_none_or(|field| NAMES.contains(&field)), "{line:?}: {text}");
            false
        }
    }
}

#[test]
fn of_what_is_nearly_a_crontab_just_the_language_is_taken_and_it_prints_and_parses_back() {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("MINIHUEY_SEED", time);
    let cases = from_environment("MINIHUEY_CASES", CASES);
    println!("MINIHUEY_CASES={cases} MINIHUEY_SEED={seed}");
    let mut random = Random(seed | 1);
    let mut taken = 0;
    for _ in 0..cases {
        taken += u64::from(check(&some_line(&mut random)));
    }
    // Else the generator proves little.
    if cases >= 1000 {
        assert!((cases / 5..cases / 5 * 4).contains(&taken), "{taken} of {cases} were taken");
    }
}
