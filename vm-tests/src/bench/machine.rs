//! The machine, and what else it does meanwhile.

use std::{fs, thread::available_parallelism, time::Duration};

use anyhow::Context as _;
use nix::{sys::utsname::uname, unistd::SysconfVar};
use serde::Serialize;
use tokio::time::sleep;

use super::process::system;

/// Of watching a machine that has nothing to do for us.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processors: usize,
    /// What the processors call themselves.
    model: String,
}

impl Machine {
    pub(crate) fn this() -> anyhow::Result<Self> {
        let kernel = uname()?.release().to_string_lossy().into_owned();
        let info = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned());
        Ok(Self { kernel, processors: available_parallelism()?.get(), model })
    }

    pub(crate) fn text(&self) -> String {
        format!("Linux {}, {} processors ({})", self.kernel, self.processors, self.model)
    }
}

/// Part of all processors that others have, seen while we do nothing: 0 to 1.
pub(crate) async fn busy_with_others() -> anyhow::Result<f64> {
    let before = Ticks::now()?;
    sleep(LOOK).await;
    Ok(Ticks::now()?.since(before).busy())
}

/// Of all processors together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    all: u64,
    idle: u64,
    softirq: u64,
}

impl Ticks {
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        Self::parse(&stat).context("/proc/stat: begins otherwise than expected")
    }

    /// user nice system idle iowait irq softirq steal: guests are in user already.
    fn parse(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = numbers.get(3)? + numbers.get(4)?;
        Some(Self { all: numbers.iter().sum(), idle, softirq: *numbers.get(6)? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            all: self.all.saturating_sub(earlier.all),
            idle: self.idle.saturating_sub(earlier.idle),
            softirq: self.softirq.saturating_sub(earlier.softirq),
        }
    }

    pub(crate) fn busy_seconds(self) -> anyhow::Result<f64> {
        Ok(self.all.saturating_sub(self.idle) as f64 / system(SysconfVar::CLK_TCK)? as f64)
    }

    pub(crate) fn softirq_seconds(self) -> anyhow::Result<f64> {
        Ok(self.softirq as f64 / system(SysconfVar::CLK_TCK)? as f64)
    }

    /// Part of all, 0 to 1.
    fn busy(self) -> f64 {
        if self.all == 0 { 0.0 } else { 1.0 - self.idle as f64 / self.all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_neither_idle_nor_waiting_for_a_disk() {
        let before = Ticks::parse("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1").expect("a line");
        let after = Ticks::parse("cpu  40 0 30 110 20 0 0 0 9 0").expect("a line");
        assert_eq!(after.since(before).busy(), 0.5);
        let ticks = Ticks::parse("cpu  0 0 0 7 0 0 5 0 0 0").expect("a line");
        assert_eq!((ticks.softirq, ticks.all), (5, 12));
        assert!(Ticks::parse("intr 5").is_none());
    }
}
