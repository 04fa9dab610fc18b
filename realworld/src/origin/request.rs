//! What the origin is asked for.

use std::time::Duration;

/// The head of a request, as far as it matters.
pub(super) struct Request {
    pub answer: Answer,
    pub close: bool,
    /// Of the body, which is read and thrown away.
    pub length: usize,
}

pub(super) enum Answer {
    Page { delay: Duration, size: usize },
    Drip { size: usize, every: Duration },
    Reset { size: usize },
    Half { size: usize },
    AfterEof,
    Never,
    NotFound,
}

impl Request {
    /// Reads one from the start of `bytes`, with its length. None if more bytes are needed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes)? else { return Ok(None) };
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| str::from_utf8(header.value).ok())
        };
        let request = Request {
            answer: Answer::to(head.path.unwrap_or_default()),
            close: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            length: header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0),
        };
        Ok(Some((request, length)))
    }
}

impl Answer {
    fn to(target: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|&(key, _)| key == name).map(|(_, value)| value)
        };
        let millis = |name: &str| {
            let value = value(name).and_then(|value| value.strip_suffix("ms"));
            Duration::from_millis(value.and_then(|value| value.parse().ok()).unwrap_or(0))
        };
        let size = value("size").and_then(|value| value.parse().ok()).unwrap_or(10);
        match path {
            "/" => Answer::Page { delay: millis("delay"), size },
            "/drip" => Answer::Drip { size, every: millis("every") },
            "/reset" => Answer::Reset { size },
            "/half" => Answer::Half { size },
            "/after-eof" => Answer::AfterEof,
            "/never" => Answer::Never,
            _ => Answer::NotFound,
        }
    }
}

/// What every body consists of: the alphabet, again and again.
pub fn body(size: usize) -> String {
    let mut body = "abcdefghijklmnopqrstuvwxyz".repeat(size / 26 + 1);
    body.truncate(size);
    body
}
