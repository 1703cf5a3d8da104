//! Connections that the listener has accepted move into the flow table: the program forwards them from
//! then on, with sequence offsets, and both sockets are gone (proxy-ebpf/src/flip.rs). What was read
//! and written before is the relay's.

mod chase;
mod counts;
mod dial;
mod kept;
mod legs;
mod passage;
mod prospect;
mod segments;
pub mod self_test;
mod sources;
mod windows;

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use proxy_common::{
    addr::{Addr, Port},
    config::{LocalId, MAX_LOCALS},
    flow::FlowKey,
    track::Leg,
};
use socket2::SockRef;

use self::{chase::Chase, counts::Counts, segments::Told, sources::Sources};
pub use self::{
    counts::Obstacle,
    dial::{PROMISE, connect},
    kept::{Connection, Frame, Kept},
    passage::Passage,
    prospect::Prospect,
};
use super::{
    account::Account,
    kernel::{self, Kernel, grace::Graces, records::Records},
    relay::{Manner, Pair, relay},
    socket,
    tally::{Failure, lock},
};
use crate::{config::HandoverAfter, status::HandoverStatus};

#[derive(Debug)]
pub struct Handover {
    records: Records,
    /// Addresses that the programs serve, each in its place.
    locals: [Addr; MAX_LOCALS],
    listen: Port,
    sources: Sources,
    after: HandoverAfter,
    counts: Counts,
    pub kept: Kept,
    listening: Vec<OwnedFd>,
    told: Mutex<Told>,
    graces: Graces,
    /// Whatever can go, goes.
    is_urgent: AtomicBool,
}

/// How the agent's part in a connection came to its end.
#[derive(Debug)]
pub enum Outcome {
    Ended,
    /// It goes on without the agent.
    HandedOver(Passage),
}

impl Handover {
    /// `listening`: copies of the sockets that clients connect to.
    pub fn new(
        kernel: &Kernel,
        listen: SocketAddr,
        after: HandoverAfter,
        listening: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        for socket in &listening {
            socket::promise_at_first(socket)?;
            // An earlier agent may have lowered it.
            SockRef::from(socket).set_tcp_mss(0)?;
        }
        Ok(Self {
            records: kernel.records().clone(),
            locals: kernel.locals(),
            listen: Port::new(listen.port()),
            sources: Sources::new(kernel.sources()),
            after,
            counts: Counts::default(),
            kept: Kept::default(),
            listening,
            told: Mutex::default(),
            graces: Graces::start()?,
            is_urgent: AtomicBool::new(false),
        })
    }

    /// The contract of [`relay`], until the program takes over.
    pub async fn carry(
        &self,
        pair: Pair,
        passage: Result<Passage, Obstacle>,
        account: &Account,
        manner: &Manner,
    ) -> Result<Outcome, Failure> {
        match passage {
            Ok(passage) => Chase::new(self, passage, pair, account, manner).run().await,
            Err(obstacle) => {
                self.counts.relayed(obstacle);
                relay(pair, account, manner).await.map(|()| Outcome::Ended)
            }
        }
    }

    pub fn status(&self) -> HandoverStatus {
        self.counts.status(self.kept.open())
    }

    /// The agent is about to end: what can go on without it is handed over at once.
    pub fn hurry(&self) {
        self.is_urgent.store(true, Relaxed);
    }

    /// Of a client's packets; `None` if the programs do not serve the address.
    fn key(&self, local: SocketAddr, client: SocketAddr) -> Option<FlowKey> {
        let [local_ip, remote] =
            [local, client].map(|address| Addr::from(address.ip().to_canonical()));
        let place = self.locals.iter().position(|known| *known == local_ip)?;
        let is_ours = local_ip != Addr::UNSPECIFIED && Port::new(local.port()) == self.listen;
        is_ours.then_some(FlowKey {
            remote,
            remote_port: Port::new(client.port()),
            local_port: self.listen,
            local: LocalId(u16::try_from(place).ok()?),
            padding: 0,
        })
    }

    fn address(&self, local: LocalId) -> Addr {
        self.locals.get(usize::from(local.0)).copied().unwrap_or_default()
    }

    /// What the listener tells clients of the segments that we take.
    fn told(&self) -> Told {
        *lock(&self.told)
    }

    /// A backend takes no larger segments than the listener tells clients of: from the next client
    /// on it tells them of those.
    fn learn(&self, client: &Leg, backend: &Leg) {
        let takes = backend.peer.mss;
        let Ok(now) = kernel::now() else { return };
        if !lock(&self.told).lower(takes, client.own.mss, now) {
            return;
        }
        for socket in &self.listening {
            if let Err(error) = SockRef::from(socket).set_tcp_mss(takes.into()) {
                tracing::warn!("the listener cannot ask for segments of {takes} bytes: {error}");
            }
        }
    }
}
