//! The peers' runtimes, made ready once for whatever work: with two workers each, as many as a
//! small machine has cores, unless the name says otherwise.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use apalis::prelude::{
    MemorySink, MemoryStorage, MemoryStorageError, ParallelizeExt, RandomId, Task, TaskBuilder,
    TaskId, WorkerBuilder,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt, lock};
use minihuey::MiniHuey;
use once_cell::sync::Lazy;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::works::Fallible;

pub const WORKERS: usize = 2;

pub static HUEY: Lazy<MiniHuey> = Lazy::new(|| MiniHuey::new("compare"));

pub fn minihuey_with_two_workers() -> Fallible<()> {
    Ok(minihuey::runtime().workers(WORKERS).start()?)
}

/// As it comes, but for the number of workers, which is the number of cores unless set.
pub fn may(workers: usize) {
    may::config().set_workers(workers);
}

/// A runtime of tokio that lives as long as the process, driven by threads of its own.
fn tokio(mut builder: Builder) -> Fallible<Handle> {
    let runtime = builder.enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(handle)
}

pub fn tokio_two() -> Fallible<Handle> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(WORKERS);
    tokio(builder)
}

pub fn tokio_current_thread() -> Fallible<Handle> {
    tokio(Builder::new_current_thread())
}

type Job = Box<dyn FnOnce() + Send>;

/// OS threads that take boxed jobs from one channel and answer each on a channel of its own.
#[derive(Clone)]
pub struct CrossbeamPool(Sender<Job>);

impl CrossbeamPool {
    pub fn start(threads: usize) -> CrossbeamPool {
        let (sender, receiver) = unbounded::<Job>();
        for _ in 0..threads {
            let jobs = receiver.clone();
            std::thread::spawn(move || jobs.iter().for_each(|job| job()));
        }
        CrossbeamPool(sender)
    }

    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.0.send(Box::new(job)).expect("its threads live");
    }
}

/// Has `run` run `job` somewhere else; what comes of it will be received.
pub fn answered<T: Send + 'static>(
    run: impl FnOnce(Job),
    job: impl FnOnce() -> T + Send + 'static,
) -> Receiver<T> {
    let (reply, result) = bounded(1);
    run(Box::new(move || {
        // Nobody need wait for it.
        let _ = reply.send(job());
    }));
    result
}

async fn run(job: ApalisJob) {
    job.await;
}

type ApalisJob = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A worker of apalis on its memory back end, which has tokio run futures as jobs. They are pushed
/// into the channel below that back end: its own sink panics when a thread pushes while the worker
/// looks at it.
#[derive(Clone)]
pub struct Apalis(mpsc::UnboundedSender<Task<ApalisJob>>);

impl Apalis {
    /// Not running yet; what runs its worker, for ever, is handed back.
    pub fn new(handle: &Handle) -> (Apalis, impl FnOnce() + Send + use<>) {
        let (sender, receiver) = mpsc::unbounded();
        let sink = sender.clone().sink_map_err(MemoryStorageError::from);
        let sink = MemorySink::new(Arc::new(lock::Mutex::new(Box::new(sink))));
        let storage = MemoryStorage::new_with(sink, receiver.boxed());
        let builder = WorkerBuilder::new("compare").backend(storage);
        let worker = builder.parallelize(tokio::spawn).build(run);
        let handle = handle.clone();
        let run = move || handle.block_on(worker.run()).expect("a worker that goes on");
        (Apalis(sender), run)
    }

    pub fn start(handle: &Handle) -> Apalis {
        let (apalis, run) = Apalis::new(handle);
        std::thread::spawn(run);
        apalis
    }

    /// Has the worker run `job`.
    pub fn push(&self, job: impl Future<Output = ()> + Send + 'static) {
        let job: ApalisJob = Box::pin(job);
        let id = TaskId::from_string(RandomId::default());
        let pushed = self.0.unbounded_send(TaskBuilder::new(job).task_id(id).build());
        pushed.expect("the worker lives");
    }

    /// Its memory back end keeps no results: a job that has one sends it.
    pub fn call<T: Send + 'static>(
        &self,
        job: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let (reply, result) = oneshot::channel();
        self.push(async move {
            let _ = reply.send(job.await);
        });
        async move { result.await.expect("a result") }
    }
}
