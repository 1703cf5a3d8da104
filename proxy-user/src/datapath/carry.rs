//! One accepted connection, from the choice of a backend to its end.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    pick::candidates,
    relay::relay,
    socket,
    tally::{Failure, Open, Tally},
};
use crate::{
    backends::{Backend, Snapshot},
    discovery::Refresh,
};

/// One side has ended and the other moves nothing: it is given up.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// What every connection needs.
#[derive(Clone)]
pub struct Carrier {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub refresh: Refresh,
    pub connect_timeout: Duration,
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
        let traffic = self.tally.traffic(backend.address);
        let _open = Open::count(&traffic.open);
        traffic.opened.fetch_add(1, Relaxed);
        self.tally.relayed.fetch_add(1, Relaxed);
        relay(client, stream, &traffic, HALF_CLOSED).await
    }

    async fn reach(&self) -> Result<(Backend, TcpStream), Failure> {
        let snapshot = self.snapshots.borrow().clone();
        let open = |backend: &Backend| self.tally.traffic(backend.address).open.load(Relaxed);
        let order = candidates(&snapshot, open, &mut fastrand::Rng::new());
        if order.is_empty() {
            return Err(Failure::NoBackend);
        }
        for backend in order {
            match self.connect(&backend).await {
                Ok(stream) => return Ok((backend, stream)),
                Err(error) => {
                    self.tally.failed(Failure::ConnectFailed);
                    tracing::warn!(backend = %backend.address, "cannot connect: {error}");
                    self.refresh.request();
                }
            }
        }
        Err(Failure::NoBackendReached)
    }

    async fn connect(&self, backend: &Backend) -> io::Result<TcpStream> {
        let stream = timeout(self.connect_timeout, TcpStream::connect(backend.address)).await??;
        socket::prepare(&stream)?;
        Ok(stream)
    }
}
