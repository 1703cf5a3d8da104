//! What agents have reserved, remembered in a pinned map until it is given back.
//!
//! It is given back when the packet path goes, never before: flows may use ports of an earlier
//! range for hours after `--source-ports` has changed. What was reserved already when an agent came
//! is somebody else's and stays.

use std::path::Path;

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Array, Map, MapData},
};
use proxy_common::reserved::PortBits;
use tracing::{info, warn};

use super::{Sources, set::PortSet, sysctl};

/// The map's name, and that of its pin.
pub const MAP: &str = "RESERVED";

pub struct Reserved(Array<MapData, PortBits>);

impl Reserved {
    pub fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = ebpf.take_map(MAP).with_context(|| format!("no map {MAP}"))?;
        Ok(Self(map.try_into()?))
    }

    pub fn from_pin(pin: &Path) -> anyhow::Result<Self> {
        let map =
            MapData::from_pin(pin).with_context(|| format!("cannot open {}", pin.display()))?;
        Ok(Self(Map::Array(map).try_into()?))
    }

    /// Reserves, then attaches what may use the ports. What was not reserved before is given back
    /// when `attach` fails.
    pub fn reserved_while<T>(
        &mut self,
        sources: &Sources,
        attach: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let added = self.reserve(sources)?;
        attach().inspect_err(|_| {
            if let Err(error) = self.give_back(&added) {
                warn!("source-ports: {added} stay reserved: {error:#}");
            }
        })
    }

    /// Returns what was not reserved before. On error nothing is.
    fn reserve(&mut self, sources: &Sources) -> anyhow::Result<PortSet> {
        let Sources { to_reserve, .. } = sources;
        if to_reserve.is_empty() {
            return Ok(PortSet::EMPTY);
        }
        let there = sysctl::reserved()?;
        let added = to_reserve.without(&there);
        if !added.is_empty() {
            self.add(&there, &added).with_context(|| {
                format!(
                    "source-ports: {to_reserve}: are within net.ipv4.ip_local_port_range and \
                     cannot be reserved; narrow that, or give --source-ports outside of it"
                )
            })?;
            info!("source-ports: {added} reserved in net.ipv4.ip_local_reserved_ports");
        }
        Ok(added)
    }

    /// Remembered first: a crash in between leaves ports to give back that are not reserved.
    fn add(&mut self, there: &PortSet, added: &PortSet) -> anyhow::Result<()> {
        let ours = self.ours()?;
        self.remember(&ours.and(added))?;
        sysctl::reserve_only(&there.and(added)).inspect_err(|_| drop(self.remember(&ours)))
    }

    /// Everybody else's ports stay reserved.
    pub fn give_back(&mut self, ports: &PortSet) -> anyhow::Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        sysctl::reserve_only(&sysctl::reserved()?.without(ports))?;
        self.remember(&self.ours()?.without(ports))
    }

    pub fn ours(&self) -> anyhow::Result<PortSet> {
        Ok(PortSet::from_bits(self.0.get(&0, 0)?))
    }

    fn remember(&mut self, ours: &PortSet) -> anyhow::Result<()> {
        self.0.set(0, ours.bits(), 0).context("cannot write which ports are reserved")
    }
}
