//! The machine, and what else it does meanwhile.

use std::{fs, thread::available_parallelism, time::Duration};

use anyhow::Context as _;
use nix::sys::utsname::uname;
use serde::Serialize;
use tokio::time::sleep;

/// Of watching a machine that has nothing to do for us.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processors: usize,
}

impl Machine {
    pub(crate) fn this() -> anyhow::Result<Self> {
        let kernel = uname()?.release().to_string_lossy().into_owned();
        Ok(Self { kernel, processors: available_parallelism()?.get() })
    }

    pub(crate) fn text(&self) -> String {
        format!("Linux {}, {} processors", self.kernel, self.processors)
    }
}

/// Part of all processors that others have, seen while we do nothing: 0 to 1.
pub(crate) async fn busy_with_others() -> anyhow::Result<f64> {
    let before = Ticks::now()?;
    sleep(LOOK).await;
    Ok(Ticks::now()?.busy_since(before))
}

#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        Self::parse(&stat).context("/proc/stat: begins otherwise than expected")
    }

    /// user nice system idle iowait irq softirq steal: guests are in user already.
    fn parse(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = numbers.get(3)? + numbers.get(4)?;
        Some(Self { all: numbers.iter().sum(), idle })
    }

    fn busy_since(self, earlier: Self) -> f64 {
        let (all, idle) = (self.all - earlier.all, self.idle.saturating_sub(earlier.idle));
        if all == 0 { 0.0 } else { 1.0 - idle as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_neither_idle_nor_waiting_for_a_disk() {
        let before = Ticks::parse("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1").expect("a line");
        let after = Ticks::parse("cpu  40 0 30 110 20 0 0 0 9 0").expect("a line");
        assert_eq!(after.busy_since(before), 0.5);
        assert!(Ticks::parse("intr 5").is_none());
    }
}
