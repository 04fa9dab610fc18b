//! What the calling process takes of the machine, read from the system: every figure of memory,
//! processor time and wakes comes from here.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use crate::works::Fallible;

/// Bytes that are resident now.
pub fn resident() -> Fallible<f64> {
    status("VmRSS:")
}

/// The most bytes that were ever resident.
pub fn peak() -> Fallible<f64> {
    // Not `ru_maxrss`: that is handed on from whoever started this process.
    status("VmHWM:")
}

fn status(field: &str) -> Fallible<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or(format!("no {field} in status"))?.parse::<f64>()? * 1024.0)
}

/// Processor time of all threads until now, the system's for them included.
pub fn cpu() -> Fallible<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64);
    Ok(Duration::from_micros(micros.iter().sum()))
}

/// How often a thread that lives now gave up the processor to wait, and how many threads do.
pub fn wakes() -> Fallible<(f64, f64)> {
    let (mut switches, mut threads) = (0.0, 0.0);
    for entry in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(entry?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches += line.ok_or("no switches in status")?.trim().parse::<f64>()?;
        threads += 1.0;
    }
    Ok((switches, threads))
}

/// As many descriptors as the system lets this process have.
pub fn raise_descriptors() -> Fallible<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}
