//! The maps, typed, from the agent's side.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, PerCpuArray, PerCpuValues, RingBuf},
    util::nr_cpus,
};
use proxy_common::{
    addr::{Addr, Port, socket},
    backend::{Backend, BackendId, BackendLoad, BackendSet, BackendTraffic, MAX_BACKENDS},
    config::{ActiveSet, Config, Events, MAX_LOCALS, Opens, PortRange},
    counter::Counter,
    event::{Change, FlowEvent},
    flow::Direction,
    reason::Reason,
    track::Stage,
};
use tracing::warn;

use super::{
    BackendCounters, Target, grace,
    host::Interface,
    records::{Carrier, Records},
    reset::{Ender, Resets, Round},
    sweep::{self, Step, Sweep},
    sys,
};
use crate::backends::Legacy;

/// What the operator decides of the programs' configuration.
pub struct Setting {
    pub listen: u16,
    pub sources: PortRange,
    /// 0: segments are left as they are.
    pub mss_clamp: u16,
    pub events: Events,
    pub opens: Opens,
    /// Of the agent's own sockets.
    pub mark: u32,
}

pub struct Tables {
    config: Array<MapData, Config>,
    active: Array<MapData, ActiveSet>,
    backends: Array<MapData, BackendSet>,
    records: Records,
    traffic: PerCpuArray<MapData, BackendTraffic>,
    load: Array<MapData, BackendLoad>,
    expired: Array<MapData, u64>,
    reasons: PerCpuArray<MapData, u64>,
    counters: PerCpuArray<MapData, u64>,
    events: RingBuf<MapData>,
    capacity: u64,
}

impl Tables {
    pub fn take(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let records = Records::take(ebpf)?;
        let capacity = records.flows.capacity()?;
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        Ok(Self {
            config: take("CONFIG")?.try_into()?,
            active: take("ACTIVE")?.try_into()?,
            backends: take("BACKENDS")?.try_into()?,
            records,
            traffic: take("TRAFFIC")?.try_into()?,
            load: take("LOAD")?.try_into()?,
            expired: take("EXPIRED")?.try_into()?,
            reasons: take("REASONS")?.try_into()?,
            counters: take("COUNTERS")?.try_into()?,
            events: take("EVENTS")?.try_into()?,
            capacity,
        })
    }

    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// What agents have carried that live no more. Returns how many connections. Those that were
    /// offered to the program are reset: a socket that dies in repair mode tells nobody.
    pub fn forget_relayed(&self) -> anyhow::Result<usize> {
        let mut relayed = Vec::new();
        for entry in self.records.flows.iter() {
            let (key, flow) = entry?;
            if self.records.carrier(&key, &flow) == Carrier::Agent {
                relayed.push((key, flow));
            }
        }
        let tracks = self.records.tracks.iter().collect::<Result<Vec<_>, _>>()?;
        let (mut ender, config) = (Ender::default(), self.config.get(&0, 0)?);
        for (key, flow) in &relayed {
            if flow.direction == Direction::ToBackend {
                let twin = self.records.flows.get(&flow.twin(key.local));
                ender.tell(key, flow, twin.as_ref(), &config);
            }
        }
        for (key, flow) in &relayed {
            self.records.remove(key, flow);
        }
        for (client, track) in tracks.iter().filter(|(_, track)| track.stage == Stage::Relayed) {
            self.records.forget(client, track.id);
        }
        Ok(relayed.iter().filter(|(_, flow)| flow.direction == Direction::ToClient).count())
    }

    /// The one that an earlier agent has configured the program for.
    pub fn interface(&self) -> anyhow::Result<Option<u32>> {
        let index = self.config.get(&0, 0)?.ifindex;
        Ok((index != 0).then_some(index))
    }

    /// Configures the program, then attaches it. An earlier agent's program sees that at once, so
    /// that the earlier configuration comes back when `attach` fails. Returns the addresses too,
    /// each in its place.
    pub fn configured_while<T>(
        &mut self,
        interface: &Interface,
        setting: &Setting,
        attach: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<([Addr; MAX_LOCALS], T)> {
        let earlier = self.config.get(&0, 0)?;
        let locals = self.configure(interface, setting)?;
        let attached = attach().inspect_err(|_| {
            if let Err(error) = self.config.set(0, earlier, 0) {
                warn!("the earlier configuration cannot be restored: {error}");
            }
        })?;
        Ok((locals, attached))
    }

    /// Addresses that flows may be keyed by keep their places. Returns each in its place.
    fn configure(
        &mut self,
        interface: &Interface,
        setting: &Setting,
    ) -> anyhow::Result<[Addr; MAX_LOCALS]> {
        let earlier = self.config.get(&0, 0)?;
        let config = Config {
            locals: places(earlier.locals, &interface.addresses)?,
            ifindex: interface.index,
            listen: Port::new(setting.listen),
            sources: setting.sources,
            mss_clamp: setting.mss_clamp,
            events: setting.events,
            opens: setting.opens,
            mark: setting.mark,
        };
        self.config.set(0, config, 0).context("cannot write the program's configuration")?;
        Ok(config.locals)
    }

    /// Every backend that the set in force or a flow refers to.
    pub fn inherited(&self) -> anyhow::Result<Vec<(Target, Legacy)>> {
        let set = self.backends.get(&self.active.get(&0, 0)?, 0)?;
        let live = set
            .live()
            .map(|backend| (backend.id, (socket(backend.address, backend.port), Legacy::InForce)));
        let mut known: BTreeMap<_, _> = live.collect();
        for entry in self.records.flows.iter() {
            let (_key, flow) = entry?;
            if flow.direction == Direction::ToBackend {
                let address = socket(flow.peer, flow.peer_port);
                known.entry(flow.backend).or_insert((address, Legacy::HasFlows));
            }
        }
        let target =
            |(id, (address, legacy)): (BackendId, _)| (Target { id: id.0, address }, legacy);
        Ok(known.into_iter().map(target).collect())
    }

    /// Fills the set that is not in force, then puts it in force with one word.
    pub fn publish(&mut self, generation: u64, live: &[Target]) -> anyhow::Result<()> {
        if live.len() > MAX_BACKENDS {
            warn!(live = live.len(), of_each_family = MAX_BACKENDS, "more backends than are used");
        }
        let backends = live.iter().map(|target| Backend {
            address: Addr::from(target.address.ip()),
            port: Port::new(target.address.port()),
            id: BackendId(target.id),
        });
        let next = 1 - self.active.get(&0, 0)?.min(1);
        self.backends
            .set(next, BackendSet::new(generation, backends), 0)
            .context("cannot write the backends")?;
        self.active.set(0, next, 0).context("cannot put the new backends in force")?;
        wait_for_readers();
        Ok(())
    }

    pub fn counters(&self, id: BackendId) -> anyhow::Result<BackendCounters> {
        let index = u32::from(id.0);
        let load = self.load.get(&index, 0)?;
        let expired = self.expired.get(&index, 0)?;
        let per_cpu = self.traffic.get(&index, 0)?;
        let sum = |part: fn(&BackendTraffic) -> u64| per_cpu.iter().map(part).sum();
        Ok(BackendCounters {
            open: load.opened.saturating_sub(load.closed + expired),
            opened: load.opened,
            bytes_to_backend: sum(|traffic| traffic.bytes_to_backend),
            bytes_to_client: sum(|traffic| traffic.bytes_to_client),
            packets_to_backend: sum(|traffic| traffic.packets_to_backend),
            packets_to_client: sum(|traffic| traffic.packets_to_client),
        })
    }

    /// For an id that has passed to another backend, which no flow refers to yet.
    pub fn reset_counters(&mut self, id: BackendId) -> anyhow::Result<()> {
        let index = u32::from(id.0);
        self.load.set(index, BackendLoad::default(), 0)?;
        self.expired.set(index, 0, 0)?;
        Ok(self.traffic.set(index, every_cpu(BackendTraffic::default())?, 0)?)
    }

    pub fn sweep(&mut self, sweep: &mut Sweep, ender: &mut Ender) -> anyhow::Result<Step> {
        let now = sweep::now()?;
        let mut step = sweep.step(&self.records, now)?;
        if !step.old.is_empty() {
            let config = self.config.get(&0, 0)?;
            for key in &step.old {
                let ended = ender.end(&self.records, &config, key, now, |_| Some(Change::MaxAge));
                step.ended.extend(ended);
            }
            step.unsent = ender.sum.error.take();
        }
        self.count_expired(&step.ended)?;
        Ok(step)
    }

    pub fn reset(&mut self, round: &mut Round) -> anyhow::Result<(Resets, Vec<FlowEvent>)> {
        let config = self.config.get(&0, 0)?;
        let (resets, ended) = round.step(&self.records, &config, sweep::now()?)?;
        self.count_expired(&ended)?;
        Ok((resets, ended))
    }

    fn count_expired(&mut self, ended: &[FlowEvent]) -> anyhow::Result<()> {
        let mut counts = BTreeMap::new();
        ended.iter().for_each(|event| *counts.entry(event.backend_id).or_insert(0) += 1);
        for (backend, ended) in counts {
            let index = u32::from(backend.0);
            let before = self.expired.get(&index, 0)?;
            self.expired.set(index, before + ended, 0)?;
        }
        Ok(())
    }

    /// What the program has told, oldest first, of at most so many connections. One of another
    /// size is of no version that this agent reads.
    pub fn events(&mut self, most: usize) -> Vec<FlowEvent> {
        let mut events = Vec::new();
        while events.len() < most
            && let Some(item) = self.events.next()
        {
            events.extend(sys::read::<FlowEvent>(&item));
        }
        events
    }

    pub fn counter(&self, counter: Counter) -> anyhow::Result<u64> {
        Ok(self.counters.get(&(counter as u32), 0)?.iter().sum())
    }

    pub fn reason(&self, reason: Reason) -> anyhow::Result<u64> {
        Ok(self.reasons.get(&(reason as u32), 0)?.iter().sum())
    }
}

fn every_cpu<T: Pod + Clone>(value: T) -> anyhow::Result<PerCpuValues<T>> {
    let cpus = nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    Ok(PerCpuValues::try_from(vec![value; cpus])?)
}

/// New addresses take free places; an address that has left the interface gives its place away
/// only when it is needed, since flows may still be keyed by it.
fn places(earlier: [Addr; MAX_LOCALS], addresses: &[IpAddr]) -> anyhow::Result<[Addr; MAX_LOCALS]> {
    ensure!(
        addresses.len() <= MAX_LOCALS,
        "interface: it has {} addresses, the packet path serves {MAX_LOCALS}; \
         give the one to listen on with --listen",
        addresses.len()
    );
    let wanted: Vec<Addr> = addresses.iter().map(|address| Addr::from(*address)).collect();
    let mut places = earlier.map(|old| if wanted.contains(&old) { old } else { Addr::UNSPECIFIED });
    for address in wanted {
        if !places.contains(&address)
            && let Some(free) = places.iter_mut().find(|place| **place == Addr::UNSPECIFIED)
        {
            *free = address;
        }
    }
    Ok(places)
}

/// A program that began before the change of sets may still read the one to be filled next.
fn wait_for_readers() {
    if let Err(error) = grace::wait() {
        warn!("membarrier is refused, waiting is left to chance: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last: &[u8]) -> Vec<IpAddr> {
        last.iter().map(|last| IpAddr::from([10, 0, 10, *last])).collect()
    }

    #[test]
    fn an_address_keeps_its_place_while_others_come_and_go() {
        let first = places([Addr::UNSPECIFIED; MAX_LOCALS], &addresses(&[1, 2, 3])).unwrap();
        let second = places(first, &addresses(&[3, 4])).unwrap();
        assert_eq!(second[2], first[2]);
        assert_eq!(second[0], addresses(&[4])[0].into());
        assert_eq!(second[1], Addr::UNSPECIFIED);
    }

    #[test]
    fn more_addresses_than_places_are_refused() {
        let many: Vec<u8> = (1..=9).collect();
        assert!(places([Addr::UNSPECIFIED; MAX_LOCALS], &addresses(&many)).is_err());
    }
}
