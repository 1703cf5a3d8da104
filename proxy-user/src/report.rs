//! The agent's state as `/status` says it, put together from what each part publishes.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    backends::{Backend, Snapshot, Transitions},
    config::Route,
    control::ProbeBook,
    datapath::{
        flows::View,
        kernel::BackendCounters,
        ledger::Ledger,
        mover::Mover,
        tally::{Tally, Traffic},
    },
    discovery::Knowledge,
    journal::Journal,
    lifecycle::Phase,
    metrics,
    status::{BackendStatus, DatapathStatus, DnsStatus, HandoverStatus, RouteStatus, Status},
};

#[derive(Clone)]
pub struct Report {
    pub started_at: Timestamp,
    pub datapath: DatapathFacts,
    pub phase: watch::Receiver<Phase>,
    /// At least one.
    pub routes: Vec<RouteFacts>,
    pub tally: Arc<Tally>,
    pub journal: Journal,
}

/// Of one cluster.
#[derive(Clone)]
pub struct RouteFacts {
    pub route: Route,
    pub resolvers: Vec<SocketAddr>,
    pub knowledge: watch::Receiver<Knowledge>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub probes: watch::Receiver<ProbeBook>,
    pub transitions: watch::Receiver<Transitions>,
    pub ledger: Arc<Ledger>,
}

/// What does not change while the agent runs, and where to read what does.
#[derive(Clone)]
pub struct DatapathFacts {
    pub name: &'static str,
    pub reason: String,
    pub packet: Option<PacketFacts>,
    pub mover: Mover,
}

#[derive(Clone)]
pub struct PacketFacts {
    pub hook: &'static str,
    pub interface: String,
    pub view: watch::Receiver<View>,
}

impl Report {
    /// Why new connections should not be sent here; `None` if they should.
    pub fn unready(&self) -> Option<String> {
        if *self.phase.borrow() != Phase::Serving {
            return Some("draining".into());
        }
        if self.routes.iter().all(|route| route.lacks_life().is_some()) {
            return self.routes[0].lacks_life();
        }
        let packet = self.datapath.packet.as_ref()?;
        let view = packet.view.borrow();
        view.in_force.is_none().then(|| {
            let error = view.error.as_deref().unwrap_or("not yet done");
            format!("no backend is in force on the packet path: {error}")
        })
    }

    /// Why new connections may come to nothing, although there is no better place for them: another
    /// appliance has the same clusters behind it.
    pub fn doubt(&self) -> Option<String> {
        self.routes.iter().find_map(|facts| {
            let dead = || Some(format!("{}: {}", facts.route.endpoint, facts.lacks_life()?));
            facts.doubt().or_else(dead)
        })
    }

    pub fn metrics(&self) -> Result<String, fmt::Error> {
        let transitions = self
            .routes
            .iter()
            .map(|facts| (facts.route.endpoint.to_string(), facts.transitions.borrow().clone()));
        metrics::render(self.status(), self.journal.counts(), transitions.collect())
    }

    pub fn status(&self) -> Status {
        let unready = self.unready();
        let view = self.view();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            ready: unready.is_none(),
            reason: unready.or_else(|| self.doubt()).or_else(|| view.error.clone()),
            datapath: self.datapath(&view),
            routes: self.routes.iter().map(|route| route.status(&view)).collect(),
            listener: self.tally.status(),
            reasons: view.counted.reasons,
            events: self.journal.events(),
        }
    }

    fn view(&self) -> View {
        let packet = self.datapath.packet.as_ref();
        packet.map(|packet| packet.view.borrow().clone()).unwrap_or_default()
    }

    fn datapath(&self, view: &View) -> DatapathStatus {
        let packet = self.datapath.packet.as_ref();
        DatapathStatus {
            name: self.datapath.name.into(),
            reason: self.datapath.reason.clone(),
            hook: packet.map(|packet| packet.hook.into()),
            interface: packet.map(|packet| packet.interface.clone()),
            resets: view.resets.iter().map(|(why, n)| ((*why).into(), *n)).collect(),
            flow_entries: view.entries,
            flow_capacity: view.capacity,
            flow_events_lost: view.counted.events_lost,
            mss_clamped: view.counted.mss_clamped,
            sockmap: self.datapath.mover.sockmap().map(|sockmap| sockmap.status()),
            handover: self.datapath.mover.handover().map(|handover| HandoverStatus {
                guarded: view.counted.guarded,
                ..handover.status()
            }),
        }
    }
}

impl RouteFacts {
    fn lacks_life(&self) -> Option<String> {
        let snapshot = self.snapshots.borrow();
        if snapshot.live().next().is_some() {
            return None;
        }
        let knowledge = self.knowledge.borrow();
        Some(match (&knowledge.error, snapshot.backends.len()) {
            (Some(error), 0) => format!("no backend is known: {error}"),
            (None, 0) => "no backend is known yet".into(),
            (_, known) => format!("none of {known} backends is live"),
        })
    }

    fn doubt(&self) -> Option<String> {
        let last = self.snapshots.borrow().last_resort?;
        Some(format!("the last backend in use, {last}, fails its probes"))
    }

    /// The packet path has one route alone: its counters are that one's.
    fn status(&self, view: &View) -> RouteStatus {
        let snapshot = self.snapshots.borrow().clone();
        RouteStatus {
            endpoint: self.route.endpoint.to_string(),
            listen: self.route.listen,
            server_names: self.route.server_names.iter().map(ToString::to_string).collect(),
            dns: self.dns(),
            generation: snapshot.generation,
            backends: snapshot.backends.iter().map(|known| self.backend(known, view)).collect(),
        }
    }

    fn dns(&self) -> DnsStatus {
        let knowledge = self.knowledge.borrow();
        let answer = knowledge.answer.as_ref();
        let until = |at: Instant| at.saturating_duration_since(Instant::now()).as_millis();
        DnsStatus {
            resolvers: self.resolvers.iter().map(ToString::to_string).collect(),
            addresses: answer.iter().flat_map(|answer| answer.addresses.iter().copied()).collect(),
            source: knowledge.origin.map(|origin| origin.source.as_str().into()),
            age_seconds: knowledge.origin.map(|origin| age(origin.at)),
            ttl_seconds: answer.filter(|_| !knowledge.is_saved()).map(|it| it.ttl.as_secs()),
            next_in_ms: knowledge.next_at.map(|at| u64::try_from(until(at)).unwrap_or(u64::MAX)),
            answers: knowledge.answers,
            failures: knowledge.failures,
            last_error: knowledge.error.as_ref().map(ToString::to_string),
            doubt: knowledge.doubt.clone(),
            refused: knowledge.refused.iter().map(|(why, n)| (why.to_string(), *n)).collect(),
        }
    }

    fn backend(&self, backend: &Backend, view: &View) -> BackendStatus {
        let probe = self.probes.borrow().get(&backend.address).cloned().unwrap_or_default();
        let packets = view.counted.backends.get(&backend.id).copied().unwrap_or_default();
        let counters = add(packets, &self.ledger.traffic(backend.address));
        BackendStatus {
            id: backend.id.0,
            address: backend.address,
            state: backend.state,
            resolved: backend.resolved,
            own_zone: backend.own_zone,
            probe,
            open: counters.open,
            opened: counters.opened,
            bytes_to_backend: counters.bytes_to_backend,
            bytes_to_client: counters.bytes_to_client,
            packets_to_backend: counters.packets_to_backend,
            packets_to_client: counters.packets_to_client,
        }
    }
}

/// Nothing where the clock was put back.
fn age(at: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().duration_since(at).as_secs()).unwrap_or_default()
}

/// A backend has connections on the packet path and, where that left some over, on the relay.
fn add(packets: BackendCounters, relayed: &Traffic) -> BackendCounters {
    BackendCounters {
        open: packets.open + relayed.open.load(Relaxed),
        opened: packets.opened + relayed.opened.load(Relaxed),
        bytes_to_backend: packets.bytes_to_backend + relayed.to_backend.load(Relaxed),
        bytes_to_client: packets.bytes_to_client + relayed.to_client.load(Relaxed),
        ..packets
    }
}
