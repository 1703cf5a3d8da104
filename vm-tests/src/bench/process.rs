//! What the processes of a group have taken of the machine, from `/proc/PID/stat` (proc_pid_stat(5)).

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use nix::unistd::{SysconfVar, sysconf};

/// All processes of a group together, threads and all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In user space and in the kernel on its behalf; not what interrupts do with its packets.
    pub cpu: Duration,
    /// Resident bytes; what processes share counts for each.
    pub memory: u64,
}

impl Usage {
    pub(crate) fn of_group(group: u32) -> anyhow::Result<Self> {
        let units =
            Units { tick: system(SysconfVar::CLK_TCK)?, page: system(SysconfVar::PAGE_SIZE)? };
        let mut found = None;
        for entry in fs::read_dir("/proc").context("reading /proc")? {
            // Processes end while we look.
            let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
            if let Some(usage) = parse(&stat, group, units) {
                found = Some(found.unwrap_or_default() + usage);
            }
        }
        found.with_context(|| format!("no process of group {group} is left"))
    }

    /// Memory can shrink; that counts as nothing.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            memory: self.memory.saturating_sub(earlier.memory),
        }
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

#[derive(Clone, Copy)]
struct Units {
    /// A second has so many.
    tick: u64,
    /// Bytes.
    page: u64,
}

/// `None` where it is of another group, or no such line.
fn parse(stat: &str, group: u32, units: Units) -> Option<Usage> {
    // The name may have spaces and brackets in it.
    let (_, rest) = stat.rsplit_once(") ")?;
    // The first after the name is the third of all.
    let fields: Vec<_> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    if field(5)? != u64::from(group) {
        return None;
    }
    let ticks = field(14)? + field(15)?;
    let cpu = Duration::from_millis(ticks * 1000 / units.tick);
    Some(Usage { cpu, memory: field(24)? * units.page })
}

pub(crate) fn system(variable: SysconfVar) -> anyhow::Result<u64> {
    let value = sysconf(variable)?.with_context(|| format!("{variable:?}: the system has none"))?;
    ensure!(value > 0, "{variable:?}: {value}: must be more than 0");
    Ok(value.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::process;

    use nix::unistd::getpgrp;

    use super::*;

    const UNITS: Units = Units { tick: 100, page: 4096 };
    const STAT: &str = "42 (ngi) nx: w) S 7 40 40 0 -1 4194624 283 0 0 0 \
                        150 50 0 0 20 0 3 0 100 123456 25 18446744073709551615";

    #[test]
    fn a_line_of_the_group_is_read_whatever_the_name() {
        let usage = Usage { cpu: Duration::from_secs(2), memory: 25 * 4096 };
        assert_eq!(parse(STAT, 40, UNITS), Some(usage));
        assert_eq!(parse(STAT, 7, UNITS), None);
        assert_eq!(parse("", 40, UNITS), None);
    }

    #[test]
    fn this_very_process_takes_memory() {
        let group = getpgrp().as_raw().unsigned_abs();
        assert!(Usage::of_group(group).expect("ours").memory > 0, "{}", process::id());
        assert!(Usage::of_group(u32::MAX).is_err());
    }
}
