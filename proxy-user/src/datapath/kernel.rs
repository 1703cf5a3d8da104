//! STUB, being written by the lead: loads, attaches and pins the packet path, and owns its typed maps.
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// Where and how the packet path sits.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub interface: String,
    pub listen: SocketAddr,
    pub hook: Hook,
    /// Folder on bpffs that holds pinned maps and links.
    pub pin_dir: PathBuf,
    /// Connections that the flow table has room for.
    pub connections: u32,
    /// aya-log's messages from the program go to tracing.
    pub log: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Auto,
    Tcx,
    Clsact,
}

/// A backend as the program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: u16,
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounters {
    pub open: u64,
    pub opened: u64,
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
    pub packets_to_backend: u64,
    pub packets_to_client: u64,
}

#[derive(Debug)]
pub struct Kernel {}

impl Kernel {
    /// Loads, takes over what an earlier agent pinned, attaches. On error nothing stays attached
    /// that was not attached before.
    pub fn attach(_attachment: &Attachment) -> anyhow::Result<Self> {
        anyhow::bail!("the packet path is not written yet")
    }

    /// `tcx` or `clsact`, as it came out.
    pub fn hook(&self) -> &'static str {
        "tcx"
    }

    /// Backends that an earlier agent left in the pinned maps, so that their ids stay theirs.
    pub fn inherited(&self) -> Vec<Target> {
        Vec::new()
    }

    /// Puts these backends in force for new connections, all at once.
    pub fn publish(&mut self, _generation: u64, _live: &[Target]) -> anyhow::Result<()> {
        Ok(())
    }

    pub fn counters(&self, _id: u16) -> anyhow::Result<BackendCounters> {
        Ok(BackendCounters::default())
    }

    /// Packets dropped or left to the stack, by the reason's name.
    pub fn reasons(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        Ok(BTreeMap::new())
    }

    /// Deletes finished and idle flows; returns (entries left, entries deleted).
    pub fn sweep(&mut self) -> anyhow::Result<(u64, u64)> {
        Ok((0, 0))
    }

    pub fn capacity(&self) -> u64 {
        0
    }
}
