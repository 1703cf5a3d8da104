//! One accepted connection, from the choice of a backend to its end.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    account::Account,
    age::MaxAge,
    pick::candidates,
    relay::{Pair, relay},
    socket,
    tally::{Failure, Open, Tally},
};
use crate::{
    backends::{Backend, Doom, Snapshot},
    health::Suspects,
};

/// One side has ended and the other moves nothing: it is given up.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// How long an attempt to connect stays the only one: then another backend is tried beside it, and
/// who answers first is taken (as RFC 8305, section 5, does with addresses).
const HEAD_START: Duration = Duration::from_secs(1);

/// What every connection needs.
#[derive(Clone)]
pub struct Carrier {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub suspects: Suspects,
    pub connect_timeout: Duration,
    /// About how old connections may become.
    pub max_age: Option<Duration>,
    /// Over how long the connections of a backend are reset that is down or has drained.
    pub reset_window: Duration,
    pub tally: Arc<Tally>,
}

impl Carrier {
    /// However it ends, the client learns of it: by its FIN, or by a reset.
    pub async fn carry(&self, client: TcpStream) {
        let _open = Open::count(&self.tally.open);
        if let Err(failure) = self.try_carry(client).await {
            self.tally.failed(failure);
            tracing::debug!(reason = failure.as_str(), "a connection failed");
        }
    }

    async fn try_carry(&self, client: TcpStream) -> Result<(), Failure> {
        socket::prepare(&client).map_err(|_| Failure::ClientBroke)?;
        let (backend, stream) = self.reach().await?;
        let account = Account::open(self.tally.traffic(backend.address));
        let pair = Pair { client, backend: stream, unsent: Vec::new() };
        self.tally.relayed.fetch_add(1, Relaxed);
        // Whatever ends first drops the others, and with the relay both streams, which are reset.
        tokio::select! {
            ended = relay(pair, &account, HALF_CLOSED) => ended,
            doom = self.doomed(backend.address) => Err(doom),
            () = self.aged() => Err(Failure::MaxAge),
        }
    }

    /// A while after the backend's connections are to end.
    async fn doomed(&self, backend: SocketAddr) -> Failure {
        let mut snapshots = self.snapshots.clone();
        let is_doomed = |snapshot: &Arc<Snapshot>| snapshot.doomed.contains_key(&backend);
        let doom = snapshots.wait_for(is_doomed).await.ok();
        let Some(doom) = doom.and_then(|snapshot| snapshot.doomed.get(&backend).copied()) else {
            // The agent ends, and with it this connection.
            return std::future::pending().await;
        };
        sleep(self.reset_window.mul_f64(fastrand::f64())).await;
        match doom {
            Doom::Down => Failure::BackendDown,
            Doom::Drained => Failure::Drained,
        }
    }

    async fn aged(&self) {
        match self.max_age.map(MaxAge::new) {
            Some(max_age) => sleep(max_age.of(&fastrand::u64(..))).await,
            None => std::future::pending().await,
        }
    }

    async fn reach(&self) -> Result<(Backend, TcpStream), Failure> {
        let snapshot = self.snapshots.borrow().clone();
        let open = |backend: &Backend| self.tally.traffic(backend.address).open.load(Relaxed);
        let order = candidates(&snapshot, open, &mut fastrand::Rng::new());
        if order.is_empty() {
            return Err(Failure::NoBackend);
        }
        let mut attempts = JoinSet::new();
        for backend in order {
            attempts.spawn(attempt(backend, self.connect_timeout));
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => {
                    if let Some(reached) = ended.and_then(|ended| self.reached(ended)) {
                        return Ok(reached);
                    }
                }
                Err(_still_waiting) => self.is_slow(&backend),
            }
        }
        while let Some(ended) = attempts.join_next().await {
            if let Some(reached) = self.reached(ended) {
                return Ok(reached);
            }
        }
        Err(Failure::NoBackendReached)
    }

    fn reached(&self, ended: Result<Attempt, JoinError>) -> Option<(Backend, TcpStream)> {
        match ended {
            Ok((backend, Ok(stream))) => return Some((backend, stream)),
            Ok((backend, Err(error))) => self.missed(&backend, &error),
            Err(panic) => tracing::error!("an attempt to connect broke: {panic}"),
        }
        None
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

type Attempt = (Backend, io::Result<TcpStream>);

async fn attempt(backend: Backend, limit: Duration) -> Attempt {
    let connect = async {
        let stream = timeout(limit, TcpStream::connect(backend.address)).await??;
        socket::prepare(&stream)?;
        Ok(stream)
    };
    (backend, connect.await)
}
