//! A hundred mails at once, to a server that takes its time: the `lettre` crate as it is.
//!
//! ```text
//! cargo run --example with_mail
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use lettre::{Message, SmtpTransport, Transport};
use minihuey::{MiniHuey, task};
use minihuey_realworld::{Smtp, or_skip};
use once_cell::sync::Lazy;

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
    let Some(server) = or_skip(Smtp::start(Duration::from_millis(200))) else { return Ok(()) };
    let start = Instant::now();
    let users = (0..100).map(|number| (server.transport(), format!("user-{number}")));
    let sent = welcome::map(users).get()?.len();
    let took = start.elapsed().as_secs_f64();
    println!("{sent} mails of 0.2 s each, on one thread, took {took:.3} s");
    println!("the server has {}", server.recipients()?.len());
    Ok(())
}
