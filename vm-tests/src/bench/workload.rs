//! The loads that every contender gets, in this order.

use std::fmt;

use super::{
    figure::{Figure, What},
    load::Outcome,
    process::Usage,
};

pub(crate) const STREAMS: usize = 4;
pub(crate) const CONNECTIONS: usize = 64;
pub(crate) const IDLE: usize = 1000;
/// Fewer than half of a host's ports: Linux takes those of one parity first, and looks at each of
/// them for every connection once they rest.
const CONNECTS_AT_MOST: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    /// First, while the proxy has no memory to use again.
    Idle,
    One,
    Small,
    Large,
    Down,
    Up,
    /// Last, for the ports that it leaves.
    Connects,
}

impl Workload {
    pub(crate) const ALL: [Self; 7] =
        [Self::Idle, Self::One, Self::Small, Self::Large, Self::Down, Self::Up, Self::Connects];

    /// For `enigate-load run`.
    pub(crate) fn arguments(self, quick: bool) -> Vec<String> {
        let words = match self {
            Self::Idle => return words(&format!("idle --connections {IDLE}")),
            Self::One => "ping --size 64 --connections 1".to_owned(),
            Self::Small => format!("ping --size 64 --connections {CONNECTIONS}"),
            Self::Large => format!("ping --size 16384 --connections {CONNECTIONS}"),
            Self::Down => format!("bulk --direction down --streams {STREAMS}"),
            Self::Up => format!("bulk --direction up --streams {STREAMS}"),
            Self::Connects => {
                let most = if quick { CONNECTS_AT_MOST / 2 } else { CONNECTS_AT_MOST };
                return words(&format!(
                    "connects --connections {CONNECTIONS} --at-most {most} --for 5s"
                ));
            }
        };
        let window = if quick { "--warm-up 300ms --for 1500ms" } else { "--warm-up 1s --for 4s" };
        self::words(&format!("{words} {window}"))
    }

    /// What came of it, and what that took of the proxy's processes, where there are any.
    pub(crate) fn figures(self, outcome: &Outcome, usage: Option<Usage>) -> Vec<(Figure, f64)> {
        let mut figures = Vec::new();
        let mut add = |what, value| figures.push((Figure { workload: self, what }, value));
        if self != Self::Idle {
            add(What::Rate, outcome.rate());
        }
        if let Some(latency) = outcome.latency {
            add(What::P50, latency.p50);
            add(What::P99, latency.p99);
            add(What::P999, latency.p999);
        }
        if let Some(usage) = usage.filter(|_| outcome.done > 0) {
            let each = |total: f64| total / outcome.done as f64;
            match self {
                Self::Idle => add(What::Memory, each(usage.memory as f64)),
                _ => add(What::Cpu, each(usage.cpu.as_secs_f64())),
            }
        }
        figures
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => write!(f, "{IDLE} idle connections"),
            Self::One => f.write_str("64 B there and back, 1 connection"),
            Self::Small => write!(f, "64 B there and back, {CONNECTIONS} connections"),
            Self::Large => write!(f, "16 KiB there and back, {CONNECTIONS} connections"),
            Self::Down => write!(f, "bulk to the client, {STREAMS} streams"),
            Self::Up => write!(f, "bulk to the server, {STREAMS} streams"),
            Self::Connects => write!(f, "connections that carry 64 B, {CONNECTIONS} at a time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::bench::load::Cli;

    #[test]
    fn the_generator_takes_every_load() {
        for (workload, quick) in Workload::ALL.into_iter().flat_map(|w| [(w, true), (w, false)]) {
            let line = ["enigate-load", "run", "--to", "10.0.0.1:443"].map(str::to_owned);
            let line = line.into_iter().chain(workload.arguments(quick));
            assert!(Cli::try_parse_from(line).is_ok(), "{workload}");
        }
    }

    #[test]
    fn processor_time_is_told_for_each_thing_done_and_memory_for_each_connection() {
        let outcome = Outcome::new(Duration::from_secs(2), 500, Default::default());
        let usage = Usage { cpu: Duration::from_secs(1), memory: 1_024_000 };
        let figures = Workload::Down.figures(&outcome, Some(usage));
        let figure = |what| figures.iter().find(|(f, _)| f.what == what).map(|(_, value)| *value);
        assert_eq!((figure(What::Rate), figure(What::Cpu)), (Some(250.0), Some(0.002)));
        let idle = Workload::Idle.figures(&outcome, Some(usage));
        assert_eq!(idle.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [2048.0]);
        assert_eq!(Workload::Idle.figures(&outcome, None), []);
    }
}
