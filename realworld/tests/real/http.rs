//! `ureq`, plain and over TLS.

use std::time::Duration;

use minihuey_realworld::origin::body;

use crate::support::{origin, origin_tls, patch, together};

const DELAY: Duration = Duration::from_millis(200);

#[test]
fn a_thousand_tasks_wait_for_three_pages_each_at_once() {
    patch();
    let origin = origin();
    let (agent, urls) = (origin.agent(), [100, 1_000, 10_000].map(|size| (size, url(size))));
    let urls = urls.map(|(size, path)| (size, origin.url(&path)));
    let run = together(1_000, move |number| {
        for turn in 0..urls.len() {
            let (size, url) = &urls[(number + turn) % urls.len()];
            let text = agent.get(url).call()?.body_mut().read_to_string()?;
            assert_eq!(text, body(*size));
        }
        Ok::<_, ureq::Error>(())
    });
    run.assert_together(3_000 * DELAY);
}

/// Few release builds are tested: there, `cargo bench` of this crate does the same.
#[test]
fn https_runs_on_the_default_stack() {
    patch();
    let origin = origin_tls();
    let (agent, page) = (origin.agent(), origin.url(&url(50_000)));
    let run = together(200, move |_| agent.get(&page).call()?.body_mut().read_to_string());
    run.assert_together(200 * DELAY);
    assert!(run.values.iter().all(|text| *text == body(50_000)));
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error_in_its_task() {
    patch();
    let (origin, other) = (origin_tls(), origin_tls());
    let (agent, page) = (other.agent(), origin.url("/"));
    let run = together(10, move |_| Ok::<_, String>(agent.get(&page).call().map(drop)));
    for result in run.values {
        assert!(matches!(result, Err(ureq::Error::Rustls(_) | ureq::Error::Io(_))), "{result:?}");
    }
}

fn url(size: usize) -> String {
    format!("/?delay={}ms&size={size}", DELAY.as_millis())
}
