//! `lettre`, which sends mail.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{Message, Transport};
use minihuey_realworld::{Smtp, or_skip};

use crate::support::{patch, together};

const DELAY: Duration = Duration::from_millis(200);

#[test]
fn a_hundred_mails_are_sent_at_once() {
    patch();
    let Some(server) = or_skip(Smtp::start(DELAY)) else { return };
    let transport = server.transport();
    let run = together(100, move |number| {
        let address = |name: &str| format!("{name}@example.org").parse::<Mailbox>();
        let mail = Message::builder()
            .from(address("huey").unwrap())
            .to(address(&format!("user-{number}")).unwrap())
            .subject("a task")
            .body("has ended".to_owned())
            .unwrap();
        transport.send(&mail).map(|response| response.is_positive())
    });
    run.assert_together(100 * DELAY);
    assert!(run.values.iter().all(|&positive| positive));
    let mut recipients = server.recipients().unwrap();
    let mut all: Vec<_> = (0..100).map(|number| format!("user-{number}@example.org")).collect();
    recipients.sort();
    all.sort();
    assert_eq!(recipients, all);
}
