//! Accepts what the packet path leaves to the host's stack: everything where there is none. Each
//! processor has a worker with a listening socket and a runtime of its own, so that a connection
//! stays on one thread from its first packet to its last.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use self::{
    pauses::Pauses,
    worker::{Stage, Worker},
};
pub use super::socket::Room;
use super::{
    carry::Carrier,
    socket,
    tally::{Failure, Tally},
};
use crate::{
    config::{Legs, Refusal},
    journal::Journal,
    lifecycle::Phase,
};

mod pauses;
mod worker;

/// Bound, and so known to be free, before anything else touches the network.
pub struct Bound(Vec<TcpListener>);

pub struct Listener {
    sockets: Vec<TcpListener>,
    carrier: Arc<Carrier>,
    pauses: Arc<Pauses>,
}

/// The connections that were open when accepting ended.
pub struct Leftover {
    workers: Workers,
    tally: Arc<Tally>,
}

/// When they are dropped, the workers reset their connections and end.
struct Workers {
    stage: Stages,
    /// Each ends with the number of connections that it cut.
    running: JoinSet<io::Result<usize>>,
}

/// What the workers are told.
struct Stages(watch::Sender<Stage>);

impl Stages {
    /// Until connections are never accepted again.
    async fn follow(&self, phase: &mut watch::Receiver<Phase>) {
        loop {
            let now = *phase.borrow_and_update();
            if now.is_closing() {
                return;
            }
            self.0.send_replace(if now.accepts() { Stage::Accepting } else { Stage::Paused });
            if phase.changed().await.is_err() {
                // The agent is gone, and with it every reason to serve.
                return;
            }
        }
    }
}

impl Bound {
    /// One socket for each processor, and those that another has bound, each with what waits in its
    /// queue.
    pub fn new(
        address: SocketAddr,
        legs: Legs,
        room: Room,
        given: Vec<TcpListener>,
    ) -> Result<Self, Refusal> {
        let count = available_parallelism().map_or(1, usize::from);
        let sockets = match given.is_empty() {
            true => socket::listen(address, legs, room, count),
            false => socket::share(given, legs, count),
        };
        sockets.map(Self).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "; stop what listens there or give another --listen",
                io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
                io::ErrorKind::PermissionDenied => "; ports below 1024 take CAP_NET_BIND_SERVICE",
                _ => "",
            };
            Refusal::new("listen", address, format!("cannot be bound: {error}{advice}"))
        })
    }

    /// Nothing is handed over: they keep room as for a relay.
    pub fn relay_all(&self) -> io::Result<()> {
        self.0.iter().try_for_each(socket::bound_queues)
    }

    /// Copies of the sockets, for a successor.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.0.iter().map(|socket| socket.as_fd().try_clone_to_owned()).collect()
    }

    pub fn serve(self, carrier: Carrier, journal: Journal) -> Listener {
        let pauses = Arc::new(Pauses::new(journal, carrier.tally.clone()));
        Listener { sockets: self.0, carrier: Arc::new(carrier), pauses }
    }
}

impl Listener {
    /// Accepts whenever the phase says so, until it never will again. Ends earlier only if a worker
    /// broke.
    pub async fn run(self, mut phase: watch::Receiver<Phase>) -> Leftover {
        let tally = self.carrier.tally.clone();
        let mut workers = self.start();
        tokio::select! {
            () = workers.stage.follow(&mut phase) => {}
            Some(ended) = workers.running.join_next() => complain(&ended),
        }
        workers.stage.0.send_replace(Stage::Draining);
        Leftover { workers, tally }
    }

    fn start(self) -> Workers {
        let (stage, stages) = watch::channel(Stage::Paused);
        let mut running = JoinSet::new();
        for socket in self.sockets {
            let worker = Worker::new(self.carrier.clone(), self.pauses.clone(), stages.clone());
            running.spawn_blocking(|| worker.run(socket));
        }
        Workers { stage: Stages(stage), running }
    }
}

impl Leftover {
    /// Waits for them, at most so long; what is open then is reset. Returns how many that were.
    pub async fn drain(mut self, patience: Duration) -> usize {
        let _in_time = timeout(patience, self.workers.end()).await;
        self.workers.stage.0.send_replace(Stage::Cut);
        let cut = self.workers.end().await;
        (0..cut).for_each(|_| self.tally.failed(Failure::CutAtShutdown));
        cut
    }
}

impl Workers {
    /// How many connections those cut that had not ended before.
    async fn end(&mut self) -> usize {
        let mut cut = 0;
        while let Some(ended) = self.running.join_next().await {
            complain(&ended);
            cut += ended.ok().and_then(Result::ok).unwrap_or_default();
        }
        cut
    }
}

fn complain(ended: &Result<io::Result<usize>, JoinError>) {
    match ended {
        Ok(Ok(_cut)) => {}
        Ok(Err(error)) => tracing::error!("a listening worker broke: {error}"),
        Err(panic) => tracing::error!("a listening worker broke: {panic}"),
    }
}
