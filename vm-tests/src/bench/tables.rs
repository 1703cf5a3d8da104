//! What the agent's tables take of the kernel's memory: it is theirs from the beginning, whether
//! there are connections or not.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use anyhow::Context as _;
use aya::maps::MapData;

use crate::state::State;

/// One entry for each direction.
const FLOWS: &str = "FLOWS";
const ENTRIES_PER_CONNECTION: f64 = 2.0;
/// Of connections that are handed over; without room where there are none.
const TRACKING: [&str; 2] = ["TRACKS", "ARMS"];

/// Bytes for each connection that there is room for.
pub(crate) fn bytes_each(state: &State) -> anyhow::Result<f64> {
    let flows = Table::pinned(&state.pin(FLOWS)?)?;
    let mut bytes = flows.bytes;
    for name in TRACKING {
        bytes += Table::pinned(&state.pin(name)?)?.bytes;
    }
    Ok(bytes * ENTRIES_PER_CONNECTION / flows.entries)
}

#[derive(Debug, PartialEq)]
struct Table {
    entries: f64,
    bytes: f64,
}

impl Table {
    fn pinned(path: &Path) -> anyhow::Result<Self> {
        let map = MapData::from_pin(path).with_context(|| format!("opening {}", path.display()))?;
        let info = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
        let text = fs::read_to_string(&info).with_context(|| format!("reading {info}"))?;
        Self::parse(&text).with_context(|| format!("{info}: has no max_entries or memlock"))
    }

    fn parse(info: &str) -> Option<Self> {
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok().map(|number| number as f64)
        };
        Some(Self { entries: number("max_entries:")?, bytes: number("memlock:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_a_tables_size_beside_its_file() {
        let info = "pos:\t0\nmap_type:\t1\nmax_entries:\t262144\nmemlock:\t38010880\nmap_id:\t5\n";
        assert_eq!(Table::parse(info), Some(Table { entries: 262144.0, bytes: 38010880.0 }));
        assert_eq!(Table::parse("pos:\t0\n"), None);
    }
}
