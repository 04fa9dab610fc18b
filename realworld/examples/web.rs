//! A web shop that answers at once, and does what takes its time as tasks: it asks a slow service
//! for the price, and sends a mail. A status page shows what became of each order.
//!
//! ```text
//! cargo run --example web               # drives itself with a few requests, and ends
//! cargo run --example web -- --serve    # goes on until it is stopped
//! ```
//!
//! | request                | answer                                    |
//! |------------------------|-------------------------------------------|
//! | `POST /orders?for=Ada` | 202, and where its status is              |
//! | `GET /orders/1`        | pending, done or failed, and how          |
//! | `GET /`                | the status of all orders                  |

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use lettre::message::Mailbox;
use lettre::{Address, Message, SmtpTransport, Transport};
use minihuey::{MiniHuey, TaskResult, task};
use minihuey_realworld::{Origin, Smtp, or_skip, origin};
use once_cell::sync::Lazy;
use tiny_http::{Header, Method, Request, Response, Server};
use ureq::Agent;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("shop"));
static SERVICES: OnceLock<Services> = OnceLock::new();

/// What the tasks need, and all of it blocks.
struct Services {
    agent: Agent,
    prices: String,
    mail: Option<SmtpTransport>,
}

/// The slow part of an order: half a second and more.
#[task(HUEY)]
fn confirm(customer: String) -> Fallible<String> {
    let services = SERVICES.get().ok_or("not open yet")?;
    let page = services.agent.get(&services.prices).call()?.body_mut().read_to_string()?;
    let text = format!("{customer} pays {}.00", page.len());
    // A customer whose name makes no address gets an error, on the status page.
    let address = Mailbox::new(None, Address::new(customer.to_lowercase(), "example.org")?);
    let from = Mailbox::new(Some("Shop".to_owned()), Address::new("shop", "example.org")?);
    let mail =
        Message::builder().from(from).to(address).subject("Your order").body(text.clone())?;
    match &services.mail {
        None => return Ok(text + ", and gets no mail: there is no mail server"),
        Some(transport) => transport.send(&mail)?,
    };
    Ok(text + ", as a mail says")
}

/// What is known of an order. Its value is taken from the result when someone first asks.
enum Order {
    Pending(TaskResult<String>),
    Ended(String),
}

impl Order {
    fn status(&mut self) -> &str {
        if let Order::Pending(result) = self
            && let Some(ended) = result.try_get()
        {
            *self = Order::Ended(match ended {
                Ok(text) => format!("done: {text}"),
                Err(error) => error.to_string(),
            });
        }
        match self {
            Order::Pending(_) => "pending",
            Order::Ended(text) => text,
        }
    }
}

/// Takes one request after the other: none of them takes long.
fn serve(server: &Server) -> Fallible<()> {
    let mut orders: BTreeMap<u64, Order> = BTreeMap::new();
    for request in server.incoming_requests() {
        answer(request, &mut orders)?;
    }
    Ok(())
}

fn answer(request: Request, orders: &mut BTreeMap<u64, Order>) -> Fallible<()> {
    let url = request.url().to_owned();
    let by_id = |text: &str| text.parse::<u64>().ok();
    let response = match (request.method(), url.split_once('?').unwrap_or((&url, ""))) {
        (Method::Post, ("/orders", query)) if query.starts_with("for=") => {
            let id = orders.len() as u64 + 1;
            orders.insert(id, Order::Pending(confirm(query["for=".len()..].to_owned())));
            let status = format!("/orders/{id}");
            let header = Header::from_bytes("Location", status.as_bytes());
            let header = header.map_err(|()| "an odd header")?;
            Response::from_string(status).with_status_code(202).with_header(header)
        }
        (Method::Get, ("/", _)) => {
            let lines = orders.iter_mut().map(|(id, order)| format!("{id}: {}\n", order.status()));
            Response::from_string(lines.collect::<String>())
        }
        (Method::Get, (path, _)) => {
            let id = path.strip_prefix("/orders/").and_then(by_id);
            match id.and_then(|id| orders.get_mut(&id)) {
                Some(order) => Response::from_string(order.status()),
                None => Response::from_string("no such order").with_status_code(404),
            }
        }
        _ => Response::from_string("not understood").with_status_code(400),
    };
    // A client that is gone is no reason to close the shop.
    let _ = request.respond(response);
    Ok(())
}

/// Orders from the shop, and watches what becomes of it.
fn drive(shop: &str) -> Fallible<()> {
    let agent = Agent::new_with_defaults();
    let get = |path: &str| agent.get(format!("{shop}{path}")).call()?.body_mut().read_to_string();
    let start = Instant::now();
    let say = |text: &str| println!("{:6.3} s  {text}", start.elapsed().as_secs_f64());
    let mut places = Vec::new();
    for customer in ["Ada", "Grace", "(nobody)", "Edsger", "Barbara"] {
        let mut response = agent.post(format!("{shop}/orders?for={customer}")).send_empty()?;
        let place = response.body_mut().read_to_string()?;
        say(&format!("order for {customer}: {}, see {place}", response.status()));
        places.push(place);
    }
    for place in &places {
        say(&format!("GET {place}: {}", get(place)?));
    }
    // A page that is asked again and again, as an impatient customer does.
    while get("/")?.contains("pending") {
        if start.elapsed() > Duration::from_secs(60) {
            return Err("an order takes more than a minute".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    say("all have ended. GET /:");
    print!("{}", get("/")?);
    Ok(())
}

fn main() -> Fallible<()> {
    origin::be_one_if_asked();
    minihuey::monkey::patch_all()?;

    let prices = Origin::start(env::current_exe()?)?;
    let mail = or_skip(Smtp::start(Duration::from_millis(200)));
    let services = Services {
        agent: prices.agent(),
        prices: prices.url("/?delay=300ms&size=42"),
        mail: mail.as_ref().map(Smtp::transport),
    };
    let _ = SERVICES.set(services);

    let server = Server::http("127.0.0.1:0")?;
    let shop = format!("http://{}", server.server_addr());
    println!("the shop is open at {shop}");
    if env::args().any(|arg| arg == "--serve") {
        println!("try: curl -X POST '{shop}/orders?for=Ada'; curl {shop}/");
        return serve(&server);
    }
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&server));
        let driven = drive(&shop);
        server.unblock();
        serving.join().map_err(|_| "the shop panicked")??;
        driven
    })
}
