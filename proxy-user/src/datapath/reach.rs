//! A connection to a backend of a route: the one that is chosen, or else another.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    handover::{Obstacle, Passage, Prospect, connect},
    ledger::Ledger,
    pick::candidates,
    socket,
    tally::{Failure, Tally},
};
use crate::{
    backends::{Backend, Snapshot},
    config::Legs,
    files::is_want_of_room,
    health::Suspects,
};

/// How long an attempt to connect stays the only one: then another backend is tried beside it, and
/// who answers first is taken (as RFC 8305, section 5, does with addresses).
const HEAD_START: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Reach {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub suspects: Suspects,
    pub ledger: Arc<Ledger>,
    pub tally: Arc<Tally>,
    pub limit: Duration,
    pub legs: Legs,
}

pub struct Reached {
    pub backend: Backend,
    pub stream: TcpStream,
    /// Where it may be handed over.
    pub passage: Result<Passage, Obstacle>,
}

type Attempt = (Backend, io::Result<Reached>);

impl Reach {
    /// `prospect`: the client, where its connection may be handed over.
    pub async fn any(&self, prospect: &Result<Prospect, Obstacle>) -> Result<Reached, Failure> {
        let snapshot = self.snapshots.borrow().clone();
        let open = |backend: &Backend| self.ledger.traffic(backend.address).open.load(Relaxed);
        let suits =
            |backend: &Backend| prospect.as_ref().is_ok_and(|client| client.suits(backend.address));
        let order = candidates(&snapshot, open, suits, &mut fastrand::Rng::new());
        if order.is_empty() {
            return Err(Failure::NoBackend);
        }
        let mut attempts = FuturesUnordered::new();
        for backend in order {
            attempts.push(attempt(backend, prospect, self.limit, self.legs));
            match timeout(HEAD_START, attempts.next()).await {
                Ok(Some(ended)) => {
                    if let Some(reached) = self.reached(ended)? {
                        return Ok(reached);
                    }
                }
                Ok(None) => {}
                Err(_still_waiting) => self.is_slow(&backend),
            }
        }
        while let Some(ended) = attempts.next().await {
            if let Some(reached) = self.reached(ended)? {
                return Ok(reached);
            }
        }
        Err(Failure::NoBackendReached)
    }

    /// `None`: another may be. What is wrong with this process is wrong with every attempt.
    fn reached(&self, ended: Attempt) -> Result<Option<Reached>, Failure> {
        match ended {
            (_, Ok(reached)) => return Ok(Some(reached)),
            (_, Err(error)) if is_want_of_room(&error) => return Err(Failure::NoDescriptors),
            (backend, Err(error)) => self.missed(&backend, &error),
        }
        Ok(None)
    }

    /// Its attempt goes on, but may be dropped for another's: this is what is known of it then.
    fn is_slow(&self, backend: &Backend) {
        self.tally.failed(Failure::ConnectSlow);
        tracing::warn!(backend = %backend.address, "no answer to a connection for {HEAD_START:?}");
        self.suspects.name(backend.address);
    }

    fn missed(&self, backend: &Backend, error: &io::Error) {
        self.tally.failed(Failure::ConnectFailed);
        tracing::warn!(backend = %backend.address, "cannot connect: {error}");
        self.suspects.name(backend.address);
    }
}

async fn attempt(
    backend: Backend,
    prospect: &Result<Prospect, Obstacle>,
    limit: Duration,
    legs: Legs,
) -> Attempt {
    let connect = async {
        let (stream, passage) = timeout(limit, connect(&backend, prospect)).await??;
        socket::prepare(&stream, legs)?;
        Ok(Reached { backend, stream, passage })
    };
    (backend, connect.await)
}
