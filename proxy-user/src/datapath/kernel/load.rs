//! The object, loaded with the maps that an earlier agent pinned.

use std::fs;

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::MapInfo,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use proxy_common::config::Opens;
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use super::{Attachment, pins::Pins};

/// Maps that outlive the agent: all but the program's log.
const PINNED: [&str; 13] = [
    "CONFIG", "ACTIVE", "BACKENDS", "FLOWS", "TRACKS", "ARMS", "TRAFFIC", "LOAD", "EXPIRED",
    "REASONS", "COUNTERS", "EVENTS", "RESERVED",
];
/// Of connections that the listener accepts; they have no room while it accepts none.
const TRACKING: [&str; 2] = ["TRACKS", "ARMS"];
const ENTRIES_PER_CONNECTION: u32 = 2;
const LOG_LEVEL_OFF: u8 = 0;
const LOG_LEVEL_DEBUG: u8 = 4;

/// The eBPF object that this binary carries.
#[cfg(ebpf_built)]
pub fn object() -> anyhow::Result<&'static [u8]> {
    Ok(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/enigate-ebpf")))
}

#[cfg(not(ebpf_built))]
pub fn object() -> anyhow::Result<&'static [u8]> {
    anyhow::bail!(
        "datapath: packet: this binary was built without the eBPF programs; \
         run `cargo xtask setup` and build it again, or use --datapath relay"
    )
}

pub fn load(pins: &Pins, attachment: &Attachment) -> anyhow::Result<Ebpf> {
    let entries = flow_entries(pins, attachment.connections)?;
    let log_level = if attachment.log { LOG_LEVEL_DEBUG } else { LOG_LEVEL_OFF };
    let coarse_clock = u8::from(has_coarse_clock());
    let mut loader = EbpfLoader::new();
    if attachment.opens == Opens::Listener {
        make_room(pins, attachment.connections)?;
        for map in TRACKING {
            loader.map_max_entries(map, attachment.connections);
        }
    }
    loader
        .map_max_entries("FLOWS", entries)
        .override_global(aya_log::LEVEL, &log_level, true)
        .override_global("COARSE_CLOCK", &coarse_clock, true);
    for map in PINNED {
        loader.map_pin_path(map, pins.map(map));
    }
    loader.load(object()?).context("the kernel does not take the eBPF maps")
}

/// Where that cannot be found out, the clock that every kernel has will do.
fn has_coarse_clock() -> bool {
    let helper = BpfHelper::BPF_FUNC_ktime_get_coarse_ns;
    is_helper_supported(ProgramType::SchedClassifier, helper).unwrap_or(false)
}

/// A table in use keeps its size: its connections are worth more than a new setting.
fn flow_entries(pins: &Pins, connections: u32) -> anyhow::Result<u32> {
    let wanted = connections
        .checked_mul(ENTRIES_PER_CONNECTION)
        .ok_or_else(|| anyhow!("table-size: {connections}: is too large"))?;
    let Ok(pinned) = MapInfo::from_pin(pins.map("FLOWS")) else { return Ok(wanted) };
    let entries = pinned.max_entries();
    info!(entries, "taking over the flow table of an earlier agent");
    if entries != wanted {
        warn!(
            connections,
            kept = entries / ENTRIES_PER_CONNECTION,
            "table-size: the table in use keeps its size"
        );
    }
    Ok(entries)
}

/// Maps without room, of an agent that handed nothing over, are made anew.
fn make_room(pins: &Pins, connections: u32) -> anyhow::Result<()> {
    for pin in TRACKING.map(|map| pins.map(map)) {
        let entries = MapInfo::from_pin(&pin).map(|pinned| pinned.max_entries());
        if entries.is_ok_and(|entries| entries == 1 && entries < connections) {
            fs::remove_file(&pin).with_context(|| format!("cannot remove {}", pin.display()))?;
        }
    }
    Ok(())
}

/// Runs for as long as the agent does.
#[allow(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
pub fn forward_logs(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    let logger = aya_log::EbpfLogger::init(ebpf)?;
    // SAFETY: the logger owns the map that its descriptor belongs to, and never swaps it.
    let mut logger = unsafe { AsyncFd::register(logger) }.map_err(std::io::Error::from)?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}
