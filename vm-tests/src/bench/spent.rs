//! What was taken of the machine between two moments.
//!
//! All namespaces share one kernel, and it does not say for whom it forwards a packet: on a veth the
//! thread that sends does all the work up to the receiver's socket, the proxy host's part included.
//! Hence three figures: what the proxy's processes took, what its eBPF programs took, and what the
//! whole machine took, from which the report subtracts what it takes where nobody is in the way.

use std::fs;

use anyhow::Context as _;

use super::{contender::Running, machine::Ticks, process::Usage};

/// What grows with sockets, connection tracking and tables, in `/proc/meminfo`. Maps that are filled
/// before they are used are not in it.
const KERNEL: [&str; 2] = ["Slab:", "Percpu:"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Of the proxy's, where there are any.
    pub processes: Option<Usage>,
    /// Seconds of all processors.
    pub machine: f64,
    /// Of these, in softirq where nothing else was charged with it.
    pub softirq: f64,
    pub kernel_bytes: f64,
}

/// Everything since the machine has begun.
pub(crate) struct Account {
    processes: Option<Usage>,
    machine: Ticks,
    kernel_bytes: u64,
}

impl Account {
    pub(crate) fn now(running: &Running) -> anyhow::Result<Self> {
        Ok(Self {
            processes: running.group().map(Usage::of_group).transpose()?,
            machine: Ticks::now()?,
            kernel_bytes: kernel_bytes()?,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> anyhow::Result<Spent> {
        let processes = earlier.processes.zip(self.processes);
        let machine = self.machine.since(earlier.machine);
        Ok(Spent {
            processes: processes.map(|(before, after)| after.since(before)),
            machine: machine.busy_seconds()?,
            softirq: machine.softirq_seconds()?,
            kernel_bytes: self.kernel_bytes.saturating_sub(earlier.kernel_bytes) as f64,
        })
    }
}

pub(crate) fn kernel_bytes() -> anyhow::Result<u64> {
    let info = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    parse(&info).with_context(|| format!("/proc/meminfo: has no {}", KERNEL.join(" or ")))
}

fn parse(info: &str) -> Option<u64> {
    let kibibytes = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    KERNEL.into_iter().map(kibibytes).sum::<Option<u64>>().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_and_what_each_processor_has_are_the_kernels_memory() {
        let info = "MemTotal:  9 kB\nSlab:       100 kB\nSReclaimable: 70 kB\nPercpu:  28 kB\n";
        assert_eq!(parse(info), Some(128 << 10));
        assert_eq!(parse("Slab: 100 kB\n"), None);
    }
}
