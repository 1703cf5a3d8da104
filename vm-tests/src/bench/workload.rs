//! The loads that every contender gets.

use std::fmt;

use super::{
    figure::{Figure, What},
    load::{Direction, Outcome},
    spent::Spent,
};

pub(crate) const IDLE: usize = 9000;
/// At a time, where connections come and go.
const AT_A_TIME: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    Bulk {
        direction: Direction,
        streams: u8,
    },
    Ping {
        size: u32,
        connections: u8,
    },
    Connects,
    Handshakes,
    /// Requests by wrk, over TLS.
    Wrk,
    /// Bulk by iperf3.
    Iperf3 {
        direction: Direction,
    },
    Idle,
    /// New connections while the idle ones stand.
    Crowd,
    /// All ENIs are replaced; see [`super::events`] for this and the next.
    Rotation,
    DeadEni,
}

/// What is counted, and with it in which units people think of its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Bytes,
    RoundTrips,
    Connections,
}

pub(crate) const DOWN: Workload = Workload::Bulk { direction: Direction::Down, streams: 8 };

impl Workload {
    /// After the idle ones and their crowd, which go first, while the proxy has no memory to use
    /// again. Connections come last, for the ports that they leave.
    pub(crate) const AFTER_IDLE: [Self; 12] = [
        Self::Ping { size: 64, connections: 1 },
        Self::Ping { size: 64, connections: 32 },
        Self::Ping { size: 16384, connections: 1 },
        Self::Ping { size: 16384, connections: 32 },
        Self::Bulk { direction: Direction::Down, streams: 1 },
        DOWN,
        Self::Bulk { direction: Direction::Down, streams: 64 },
        Self::Bulk { direction: Direction::Up, streams: 1 },
        Self::Bulk { direction: Direction::Up, streams: 8 },
        Self::Bulk { direction: Direction::Up, streams: 64 },
        Self::Connects,
        Self::Handshakes,
    ];
    /// Once more, with the kernel's clock running for eBPF programs: it costs each of their runs
    /// some nanoseconds, which no other figure is to have in it.
    pub(crate) const CLOCKED: [Self; 2] = [DOWN, Self::Connects];

    /// For `enigate-load run`.
    pub(crate) fn arguments(self, quick: bool) -> Vec<String> {
        let length = if quick { "600ms" } else { "1s" };
        let window = format!("--warm-up {} --for {length}", if quick { "200ms" } else { "300ms" });
        let line = match self {
            Self::Bulk { direction, streams } => {
                format!("bulk --direction {} --streams {streams} {window}", direction.word())
            }
            Self::Ping { size, connections } => {
                format!("ping --size {size} --connections {connections} {window}")
            }
            Self::Idle => format!("idle --connections {IDLE}"),
            // Not the generator's.
            Self::Wrk | Self::Iperf3 { .. } | Self::Rotation | Self::DeadEni => String::new(),
            Self::Connects | Self::Crowd | Self::Handshakes => {
                let tls = if self == Self::Handshakes { "--tls" } else { "" };
                let at_most = self.connections_at_most();
                format!(
                    "connects --connections {AT_A_TIME} --at-most {at_most} --for {length} {tls}"
                )
            }
        };
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Those of all loads, the clocked ones too, must stay below half of a host's ports: Linux takes
    /// those of one parity first, and looks at each of them for every connection once they rest.
    fn connections_at_most(self) -> u64 {
        match self {
            Self::Crowd => 5_000,
            Self::Connects => 7_000,
            Self::Handshakes => 3_500,
            _ => 0,
        }
    }

    pub(crate) const fn counted(self) -> Counted {
        match self {
            Self::Bulk { .. } | Self::Iperf3 { .. } => Counted::Bytes,
            Self::Ping { .. } | Self::Wrk => Counted::RoundTrips,
            _ => Counted::Connections,
        }
    }

    /// What came of it, and what it took of the machine.
    pub(crate) fn figures(self, outcome: &Outcome, spent: &Spent) -> Vec<(Figure, f64)> {
        let mut figures = Vec::new();
        let mut add = |what, value| figures.push((Figure { workload: self, what }, value));
        let each = |all: f64| all / outcome.total.max(1) as f64;
        if self == Self::Idle {
            add(What::KernelMemory, each(spent.kernel_bytes));
            if let Some(processes) = spent.processes {
                add(What::Memory, each(processes.memory as f64));
            }
            return figures;
        }
        add(What::Rate, outcome.rate());
        if let Some(latency) = outcome.latency {
            add(What::P50, latency.p50);
            add(What::P99, latency.p99);
            add(What::P999, latency.p999);
        }
        add(What::Machine, each(spent.machine));
        add(What::SoftIrq, each(spent.softirq));
        if let Some(processes) = spent.processes {
            add(What::Cpu, each(processes.cpu.as_secs_f64()));
        }
        figures
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count| if count == 1 { "" } else { "s" };
        match *self {
            Self::Bulk { direction, streams } => {
                write!(f, "bulk to the {}, {streams} stream{}", direction.end(), many(streams))
            }
            Self::Ping { size, connections } => {
                let size =
                    if size < 1024 { format!("{size} B") } else { format!("{} KiB", size >> 10) };
                write!(f, "{size} there and back, {connections} connection{}", many(connections))
            }
            Self::Connects => write!(f, "connections that carry 64 B, {AT_A_TIME} at a time"),
            Self::Handshakes => write!(f, "TLS connections that carry 64 B, {AT_A_TIME} at a time"),
            Self::Wrk => f.write_str("requests by wrk over TLS, 32 connections"),
            Self::Iperf3 { direction } => {
                write!(f, "bulk to the {} by iperf3, 8 streams", direction.end())
            }
            Self::Idle => write!(f, "{IDLE} idle connections"),
            Self::Crowd => write!(f, "connections that carry 64 B, beside {IDLE} idle ones"),
            Self::Rotation => f.write_str("all ENIs are replaced while clients ask"),
            Self::DeadEni => f.write_str("an ENI falls silent while clients ask"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::bench::{load::Cli, process::Usage};

    #[test]
    fn the_generator_takes_every_load() {
        let all = Workload::AFTER_IDLE.into_iter().chain([Workload::Idle, Workload::Crowd]);
        for (workload, quick) in all.flat_map(|w| [(w, true), (w, false)]) {
            let line = ["enigate-load", "run", "--to", "10.0.0.1:443"].map(str::to_owned);
            let line = line.into_iter().chain(workload.arguments(quick));
            assert!(Cli::try_parse_from(line).is_ok(), "{workload}");
        }
    }

    #[test]
    fn all_connections_of_a_round_find_ports_of_one_parity() {
        let clocked = Workload::CLOCKED.iter();
        let all = Workload::AFTER_IDLE.iter().chain([&Workload::Crowd]).chain(clocked);
        let connections: u64 = all.map(|workload| workload.connections_at_most()).sum();
        assert!(connections + (IDLE as u64) < (65_536 - 1_024) / 2, "{connections}");
    }

    #[test]
    fn cost_is_told_for_all_that_was_done_and_memory_for_each_connection() {
        let outcome = Outcome::new(Duration::from_secs(2), 500, Default::default());
        let outcome = Outcome { total: 1000, ..outcome };
        let processes = Usage { cpu: Duration::from_secs(1), memory: 1_024_000 };
        let spent =
            Spent { processes: Some(processes), machine: 4.0, softirq: 0.5, kernel_bytes: 3e6 };
        let figures = DOWN.figures(&outcome, &spent);
        let figure = |what| figures.iter().find(|(f, _)| f.what == what).map(|(_, value)| *value);
        assert_eq!((figure(What::Rate), figure(What::Cpu)), (Some(250.0), Some(0.001)));
        assert_eq!((figure(What::Machine), figure(What::SoftIrq)), (Some(0.004), Some(0.0005)));
        let idle = Workload::Idle.figures(&outcome, &spent);
        assert_eq!(idle.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [3000.0, 1024.0]);
    }
}
