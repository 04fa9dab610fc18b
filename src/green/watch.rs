//! Looks at the workers now and then: finds out that one is held, by which task, and what that
//! does. It runs in the watchdog's thread, so that nothing of it costs a worker anything.
//!
//! A hub counts down ticks between two looks at the clock, so the two together change whenever a
//! green thread parks, yields or ends a task. A worker for which they stand still, though it does
//! not wait in its selector, is held by whoever runs there.

use std::sync::Arc;
use std::time::Duration;

use super::activity::Activity;
use super::hub::{Hub, Progress};
use super::pool::Pool;
use super::{overflow, panics};

/// The watch over all workers.
pub(super) struct Watch {
    /// Nanoseconds that a worker may be held without a word.
    threshold: u64,
    workers: Vec<Worker>,
}

struct Worker {
    hub: &'static Hub,
    seen: Progress,
    /// Since when that stands still.
    since: u64,
    /// Who holds it, once that was said.
    holder: Option<Holder>,
}

/// Somebody who runs on a worker.
enum Holder {
    Task {
        name: &'static str,
        id: u64,
        pool: Arc<Pool>,
    },
    /// A coroutine that the program made with may's own means, or one of the library's few.
    Other,
}

/// Somebody who holds a worker for longer than this is looked at less often.
const LONG: u64 = 10_000_000_000;

/// The longest time between two looks at a worker that is held.
const SELDOM: u64 = 1_000_000_000;

impl Watch {
    pub(super) fn new(threshold: Duration, hubs: &[&'static Hub]) -> Watch {
        let worker =
            |hub: &&'static Hub| Worker { hub, seen: hub.progress(), since: 0, holder: None };
        Watch {
            threshold: crate::clock::nanos(threshold),
            workers: hubs.iter().map(worker).collect(),
        }
    }

    /// Workers that were idle are at work since `now`. Gives after how long to look.
    pub(super) fn begin(&mut self, now: u64) -> u64 {
        for worker in &mut self.workers {
            worker.seen = worker.hub.progress();
            worker.since = now;
        }
        self.interval()
    }

    fn interval(&self) -> u64 {
        self.threshold / 2
    }

    /// Looks at all workers. Gives after how long to look again; None if all are idle.
    pub(super) fn look(&mut self, now: u64) -> Option<u64> {
        let threshold = self.threshold;
        let mut next = None;
        for worker in &mut self.workers {
            if let Some(held) = worker.look(now, threshold) {
                let after = if held > LONG { SELDOM } else { 0 }.max(threshold / 2);
                next = Some(next.map_or(after, |next: u64| next.min(after)));
            }
        }
        next
    }
}

impl Worker {
    /// Gives for how long it has been held; None if it is idle.
    fn look(&mut self, now: u64, threshold: u64) -> Option<u64> {
        let progress = self.hub.progress();
        if progress != self.seen {
            self.end_hold(now);
            self.seen = progress;
            self.since = now;
            return Some(0);
        }
        let activity = Activity::of(self.hub.thread(), self.hub.poller.fd());
        if activity == Activity::Idle {
            self.end_hold(now);
            self.since = now;
            return None;
        }
        let held = now.saturating_sub(self.since);
        if held >= threshold && self.holder.is_none() {
            let Some(holder) = self.look_for_holder(now, threshold) else {
                // It can't be told whether anybody is held up. Where the system does not tell what
                // the thread does, it may well be idle.
                return (activity != Activity::Unknown).then_some(held);
            };
            // It may have gone on while we looked.
            if self.hub.progress() == self.seen {
                holder.warn(held, &activity);
                self.holder = Some(holder);
            }
        }
        Some(held)
    }

    /// Who runs there; None if it is nobody of ours, and nobody of ours waits.
    fn look_for_holder(&self, now: u64, threshold: u64) -> Option<Holder> {
        match overflow::active_of(self.hub) {
            Some(green) => Some(green.running_task().map_or(Holder::Other, |(job, pool)| {
                Holder::Task { name: job.meta().name, id: job.id(), pool }
            })),
            None => self.hub.is_wanted(now.saturating_sub(threshold)).then_some(Holder::Other),
        }
    }

    fn end_hold(&mut self, now: u64) {
        if let Some(holder) = self.holder.take() {
            holder.ended(now.saturating_sub(self.since));
        }
    }
}

impl Holder {
    fn warn(&self, held: u64, activity: &Activity) {
        let advice = activity.advice();
        let held = shown(held);
        panics::contain(|| match self {
            Holder::Task { name, id, pool } => {
                pool.count_hold();
                log::warn!(
                    "task {name} #{id} has held its worker for {held}, and all other tasks there \
                     wait: it {activity}. {advice}."
                );
            }
            Holder::Other => log::warn!(
                "a coroutine that is no task has held a worker for {held}, and all tasks there \
                 wait: it {activity}. {advice}."
            ),
        });
    }

    fn ended(&self, held: u64) {
        panics::contain(|| match self {
            Holder::Task { name, id, pool } => {
                pool.count_longest_hold(Duration::from_nanos(held));
                log::warn!("task {name} #{id} held its worker for {} in all", shown(held));
            }
            Holder::Other => {
                log::warn!("a coroutine that is no task held a worker for {} in all", shown(held));
            }
        });
    }
}

fn shown(nanos: u64) -> String {
    format!("{} ms", nanos / 1_000_000)
}
