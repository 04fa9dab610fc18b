//! A hundred mails at once, to a server that takes its time: the `lettre` crate as it is.
//!
//! ```text
//! cargo run --example with_mail
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use lettre::{Message, SmtpTransport, Transport};
use minihuey::{MiniHuey, task};
use minihuey_realworld::{Smtp, or_skip, report_waits};
use once_cell::sync::Lazy;

/// What the server takes for each mail.
const DELAY: Duration = Duration::from_millis(200);

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("with-mail"));

#[task(HUEY)]
fn welcome(transport: SmtpTransport, user: String) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mail = Message::builder()
        .from("huey@example.org".parse()?)
        .to(format!("{user}@example.org").parse()?)
        .subject("Welcome")
        .body(format!("Hello, {user}."))?;
    transport.send(&mail)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    minihuey::monkey::patch_all()?;
    let Some(server) = or_skip(Smtp::start(DELAY)) else { return Ok(()) };
    let start = Instant::now();
    let users = (0..100).map(|number| (server.transport(), format!("user-{number}")));
    let sent = welcome::map(users).get()?.len();
    let recipients = server.recipients()?.len();
    println!("{sent} mails were sent on one thread; the server has {recipients}");
    report_waits(100 * DELAY, start)?;
    if recipients != sent {
        return Err("some got lost".into());
    }
    Ok(())
}
