//! What a task does: a few steps and an end, all told by its seed.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use minihuey::sync::channel::{Sender, bounded};
use minihuey::{green, offload};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::shared::shared;
use super::world::{Called, Caller, Family, Kind, Order, Plan, live_and_die, together, world};
use crate::account::{Body, Ended, Value, problem};
use crate::random::Random;

/// What a task is sent for: to be at the other end of a socket.
pub struct Errand(UnixStream);

/// Bytes that are sent there and back; more than a socket's buffer takes is not needed.
const MOST_BYTES: u64 = 4096;

/// Bytes between two on one stack, of whom one called the other; between two stacks there are more.
const NEAR: usize = 128 * 1024;

#[inline(never)]
fn address_here() -> usize {
    let here = 0_u8;
    black_box(&raw const here) as usize
}

pub fn run(kind: Kind, order: Order) -> Result<Value, Value> {
    let Order { ticket, seed, depth, home, called_at, errand } = order;
    // On an OS thread that would end the process; as a part of its caller, or on top of it, because
    // green threads are short, its caller.
    let may_overflow = kind != Kind::Offloaded
        && !ticket.0.tally.is_immediate
        && address_here().abs_diff(called_at) > NEAR;
    let body = Body::begin(&ticket.0);
    let mut random = Random::new(seed);
    if let Some(Errand(stream)) = errand {
        answer(stream, &mut random);
        let value = body.value();
        body.ends(Ended::Ok);
        return Ok(value);
    }
    let me = Me { body: &body, depth, home: home.upgrade() };
    for _ in 0..random.below(4) {
        me.step(&mut random);
    }
    drop(me);
    match random.below(40) {
        0 | 1 => {
            let value = body.value();
            body.ends(Ended::Err);
            Err(value)
        }
        2 => {
            body.ends(Ended::Panic);
            panic_any("on purpose");
        }
        3 => {
            let value = body.value();
            body.ends(Ended::Panic);
            resume_unwind(Box::new(value));
        }
        4 if may_overflow && random.once_in(4) => {
            // What is on this stack from here on is lost.
            body.ends(Ended::Overflow);
            drop((ticket, home));
            Ok(descend(0, &mut random))
        }
        _ => {
            let value = body.value();
            body.ends(Ended::Ok);
            Ok(value)
        }
    }
}

/// Until the stack ends: here, or deep inside of what it calls. Nothing that it calls takes
/// anything that others would miss. (No panics: an overflow in the middle of one ends the process.)
#[inline(never)]
#[allow(unconditional_recursion, reason = "until the stack ends")]
fn descend(level: u64, random: &mut Random) -> Value {
    let frame = black_box([level; 64]);
    match random.below(64) {
        0 => green::yield_now(),
        1 => green::sleep(micros(random, 20)),
        2 => thread::sleep(micros(random, 20)),
        3 => drop(green::spawn(|| ()).join()),
        4 => offload(|| ()),
        5 => {
            let (sender, receiver) = bounded(1);
            drop(green::spawn(move || sender.send(level)));
            let _ = receiver.recv();
        }
        6 => drop(bounded::<u64>(1).1.recv_timeout(micros(random, 20))),
        _ => {}
    }
    let value = descend(level + 1, random);
    black_box(frame);
    value
}

/// A task that runs.
struct Me<'a> {
    body: &'a Body,
    depth: u32,
    /// None if its huey is gone.
    home: Option<Arc<Family>>,
}

impl Me<'_> {
    fn caller(&self) -> Caller<'_> {
        Caller { place: &self.body.0.place, number: self.body.0.number, address: address_here() }
    }

    /// Calls a task of its own huey or of another one.
    fn call(&self, random: &mut Random, delay: Option<Duration>) -> Called {
        let family = match &self.home {
            // Without its scheduler, a task that waits for a later one waits for good.
            Some(home) if random.once_in(2) && (delay.is_none() || home.huey.is_started()) => home,
            _ => random.pick(&world().families),
        };
        let kind = match random.below(8) {
            0 => Kind::Offloaded,
            1 => Kind::Brief,
            2 if random.once_in(4) => Kind::Roomy,
            _ => Kind::Plain,
        };
        let plan = Plan { kind, seed: random.any(), depth: self.depth - 1, delay, errand: None };
        family.call(self.caller(), plan)
    }

    fn step(&self, random: &mut Random) {
        let place = &self.body.0.place;
        match random.below(16) {
            0 => {
                let _waiting = place.waits("a sleep", 0);
                green::sleep(micros(random, 2000));
            }
            1 => {
                let _waiting = place.waits("a sleep of std's", 0);
                thread::sleep(micros(random, 1000));
            }
            2 => green::yield_now(),
            3 => thread::yield_now(),
            4 => {
                let _waiting = place.waits("something offloaded", 0);
                let pause = micros(random, 300);
                offload(|| thread::sleep(pause));
            }
            5 => {
                // It goes on although it was ended from outside, for a while.
                let pause = micros(random, 1000);
                let _waiting = place.waits("a sleep that it catches the end of", 0);
                let _ = catch_unwind(AssertUnwindSafe(|| green::sleep(pause)));
            }
            6 => {
                let _nap = NapWhenDropped(micros(random, 200));
                let _waiting = place.waits("a sleep", 0);
                green::sleep(micros(random, 500));
            }
            7 if random.once_in(3) => self.talk_to_a_task(random),
            8 if random.once_in(4) => self.talk_to_the_server(random),
            12..=14 => shared().visit(place, random),
            15 if random.once_in(40) => self.wait_for_a_child_process(),
            _ if self.depth == 0 => {}
            9 if random.once_in(20) => live_and_die(self.caller(), random, self.depth - 1),
            _ => self.have_children(random),
        }
    }

    fn have_children(&self, random: &mut Random) {
        let (place, caller) = (&self.body.0.place, self.caller());
        match random.below(11) {
            0 => drop(self.call(random, None)),
            1 => self.call(random, None).get(caller),
            2 => {
                let children: Vec<_> =
                    (0..random.below(4)).map(|_| self.call(random, None)).collect();
                children.into_iter().for_each(|child| child.get(caller));
            }
            3 => {
                let mut child = self.call(random, None);
                if !child.get_timeout(caller, micros(random, 1000)) && random.once_in(2) {
                    child.cancel();
                    child.get(caller);
                }
            }
            4 => {
                let child = self.call(random, None);
                if random.once_in(2) {
                    green::yield_now();
                }
                child.cancel();
                child.get(caller);
            }
            5 => {
                let delay = micros(random, 3000);
                let child = self.call(random, Some(delay));
                if random.once_in(3) {
                    child.cancel();
                }
                child.get(caller);
            }
            6 => {
                let child = self.call(random, None);
                let _waiting = place.waits("something offloaded", 0);
                offload(|| child.get(caller));
            }
            7 => world().post(self.call(random, None)),
            8 => self.call(random, None).hand_over(),
            9 => {
                let child = self.call(random, None);
                self.await_for_a_while(child, micros(random, 1000));
            }
            _ => {
                let children: Vec<_> = (0..random.below(5))
                    .map(|_| self.call(random, None))
                    .filter(|child| !child.entry.must_be_seen())
                    .collect();
                let (entries, group) = together(children);
                let first = entries.first().map_or(0, |entry| entry.number);
                let _waiting = place.waits("the members of a group from", first);
                for (index, value) in group.as_completed() {
                    entries[index].saw(&value);
                }
            }
        }
    }

    /// As a future does, with a waker that its task waits for. Only for a while: who awaits keeps
    /// its place in its huey.
    fn await_for_a_while(&self, mut child: Called, patience: Duration) {
        let (sender, woken) = bounded(1);
        let waker = Waker::from(Arc::new(Wakes(sender)));
        let mut context = Context::from_waker(&waker);
        if Pin::new(&mut child).poll(&mut context).is_ready() {
            return;
        }
        let waiting = self.body.0.place.waits("a waker of", child.entry.number);
        let was_woken = woken.recv_timeout(patience).is_ok();
        drop(waiting);
        if Pin::new(&mut child).poll(&mut context).is_pending() {
            if was_woken {
                problem(format!("woken, and not ready: {}", child.entry));
            }
            child.get(self.caller());
        }
    }

    /// One that ends at once. If the wait is ended from outside, an OS thread takes it over.
    fn wait_for_a_child_process(&self) {
        let _waiting = self.body.0.place.waits("a child process", 0);
        // No descriptors or memory for it: there are other things to do.
        let Ok(mut child) = Command::new("true").spawn() else { return };
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => problem(format!("`true` ended with {status}: {}", self.body.0)),
            Err(_) => {
                let _ = thread::Builder::new().spawn(move || child.wait());
            }
        }
    }

    /// The other end of a socket is a task of the huey without limits.
    fn talk_to_a_task(&self, random: &mut Random) {
        let Ok((mine, other)) = UnixStream::pair() else { return };
        let plan = Plan {
            kind: Kind::Plain,
            seed: random.any(),
            depth: 0,
            delay: None,
            errand: Some(Errand(other)),
        };
        let peer = world().families[0].call(self.caller(), plan);
        if random.once_in(8) {
            peer.cancel();
        }
        let waiting = self.body.0.place.waits("a socket, from", peer.entry.number);
        let said = bytes(random);
        if let Ok(heard) = exchange(mine, &said) {
            self.check_echo("a task", &said, &heard);
        }
        drop(waiting);
        if random.once_in(2) {
            peer.get(self.caller());
        }
    }

    /// It may answer, hang up, or reset the connection.
    fn talk_to_the_server(&self, random: &mut Random) {
        let _waiting = self.body.0.place.waits("the server", 0);
        let Ok(stream) = TcpStream::connect(world().echo) else { return };
        // So that the system does not run out of ports.
        let _ = setsockopt(&stream, Linger, &linger { l_onoff: 1, l_linger: 0 });
        if random.once_in(4) {
            let _ = stream.set_read_timeout(Some(Duration::from_micros(1 + random.below(2000))));
        }
        let said = bytes(random);
        match exchange(stream, &said) {
            Ok(heard) => self.check_echo("the server", &said, &heard),
            Err(error) => {
                use io::ErrorKind::*;
                let known = [BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock];
                // ECANCELED and the want of descriptors have no kind of their own.
                if !known.contains(&error.kind()) && error.raw_os_error().is_none() {
                    problem(format!("a read gave {error:?}: {}", self.body.0));
                }
            }
        }
    }

    fn check_echo(&self, whose: &str, said: &[u8], heard: &[u8]) {
        if !heard.is_empty() && said != heard {
            problem(format!("{whose} echoed something else: {}", self.body.0));
        }
    }
}

/// A waker that sends word.
struct Wakes(Sender<()>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_send(());
    }
}

/// Waits in its destructor; also while its task unwinds, where it may not for long.
struct NapWhenDropped(Duration);

impl Drop for NapWhenDropped {
    fn drop(&mut self) {
        green::sleep(self.0);
    }
}

fn micros(random: &mut Random, most: u64) -> Duration {
    Duration::from_micros(random.below(most))
}

fn bytes(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(MOST_BYTES);
    (0..length).map(|_| random.any() as u8).collect()
}

/// Says how much will come, and it; gives what comes back.
fn exchange(mut stream: impl Read + Write, said: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(&(said.len() as u32).to_ne_bytes())?;
    stream.write_all(said)?;
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard)?;
    Ok(heard)
}

/// Says what it hears, or hangs up.
fn answer(mut stream: impl Read + Write, random: &mut Random) {
    let _: io::Result<()> = (|| {
        let heard = hear(&mut stream)?;
        if random.once_in(3) {
            thread::sleep(micros(random, 500));
        }
        match random.below(6) {
            0 => Ok(()),
            1 => stream.write_all(&heard[..heard.len() / 2]),
            _ => stream.write_all(&heard),
        }
    })();
}

pub fn hear(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut heard = vec![0; (u32::from_ne_bytes(length) as usize).min(MOST_BYTES as usize)];
    stream.read_exact(&mut heard)?;
    Ok(heard)
}
