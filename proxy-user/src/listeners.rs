//! What is listened on for clients: one listener for each address, whoever has bound it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    backends::Snapshot,
    config::{Config, Refusal},
    datapath::{
        carry::Carrier,
        listener::{Bound, Leftover, Room},
    },
    journal::Journal,
    lifecycle::Phase,
    succession::Estate,
};

/// Connections wait so long in the kernel's queue for a first backend, rather than be refused.
const FIRST_BACKEND: Duration = Duration::from_secs(5);

pub struct Listeners(BTreeMap<SocketAddr, Bound>);

impl Listeners {
    /// Those that another has bound are taken, the others are bound.
    pub fn bind(config: &Config, estate: &mut Estate) -> Result<Self, Refusal> {
        let room = if config.may_hand_over() { Room::HandedOver } else { Room::Relayed };
        let mut bound = BTreeMap::new();
        for route in &config.routes {
            if let Entry::Vacant(place) = bound.entry(route.listen) {
                let given = estate.take(route.listen);
                place.insert(Bound::new(route.listen, config.listener.legs, room, given)?);
            }
        }
        Ok(Self(bound))
    }

    /// Where they were bound for a handover, and there is none.
    pub fn relay_all(&self) -> io::Result<()> {
        self.0.values().try_for_each(Bound::relay_all)
    }

    /// Of all sockets.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        let mut copies = Vec::new();
        for bound in self.0.values() {
            copies.extend(bound.copies()?);
        }
        Ok(copies)
    }

    /// They accept while the phase says so, from when something is known of each cluster.
    pub fn run(
        self,
        mut carriers: BTreeMap<SocketAddr, Carrier>,
        journal: &Journal,
        serving: &watch::Receiver<Phase>,
        snapshots: &[watch::Receiver<Arc<Snapshot>>],
    ) -> JoinSet<Leftover> {
        let mut listening = JoinSet::new();
        for (address, bound) in self.0 {
            let Some(carrier) = carriers.remove(&address) else { continue };
            let listener = bound.serve(carrier, journal.clone());
            let (first, serving) = (first_backends(snapshots.to_vec()), serving.clone());
            listening.spawn(async {
                first.await;
                listener.run(serving).await
            });
        }
        listening
    }
}

/// Until something is known to live of each cluster, or that nothing does, or it takes too long.
async fn first_backends(snapshots: Vec<watch::Receiver<Arc<Snapshot>>>) {
    let all = async {
        for mut snapshots in snapshots {
            let _gone = snapshots.wait_for(|snapshot| snapshot.is_judged).await;
        }
    };
    let _as_it_is = timeout(FIRST_BACKEND, all).await;
}
