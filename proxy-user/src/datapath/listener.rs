//! Accepts what the packet path leaves to the host's stack: everything where there is none.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    carry::Carrier,
    socket,
    tally::{Failure, Tally},
};
use crate::{
    config::Refusal,
    journal::{Journal, Kind},
};

/// Time for connections to end and give back what the process ran out of.
const PAUSE: Duration = Duration::from_millis(100);

/// Without a pause for so long, the listener is said to be well again.
const QUIET: Duration = Duration::from_secs(5);

/// Bound, and so known to be free, before anything else touches the network.
pub struct Bound(TcpListener);

pub struct Listener {
    socket: TcpListener,
    carrier: Arc<Carrier>,
    connections: JoinSet<()>,
    journal: Journal,
    /// The newest pause of a run of them, which is two events however long it is.
    paused_at: Option<Instant>,
}

/// The connections that were open when accepting ended.
pub struct Leftover {
    connections: JoinSet<()>,
    tally: Arc<Tally>,
}

impl Bound {
    pub fn new(address: SocketAddr) -> Result<Self, Refusal> {
        socket::bind(address).map(Self).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => "; stop what listens there or give another --listen",
                io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
                io::ErrorKind::PermissionDenied => "; ports below 1024 take CAP_NET_BIND_SERVICE",
                _ => "",
            };
            Refusal::new("listen", address, format!("cannot be bound: {error}{advice}"))
        })
    }

    pub fn serve(self, carrier: Carrier, journal: Journal) -> Listener {
        let connections = JoinSet::new();
        Listener {
            socket: self.0,
            carrier: Arc::new(carrier),
            connections,
            journal,
            paused_at: None,
        }
    }
}

impl Listener {
    /// Until `stop`; then nothing is listened on any more.
    pub async fn accept_until(mut self, stop: impl Future<Output = ()>) -> Leftover {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((client, peer)) => self.take(client, peer),
                    Err(error) => self.pause(&error).await,
                },
                Some(_ended) = self.connections.join_next() => {}
            }
        }
        Leftover { connections: self.connections, tally: self.carrier.tally.clone() }
    }

    fn take(&mut self, client: TcpStream, peer: SocketAddr) {
        if self.paused_at.is_some_and(|paused_at| paused_at.elapsed() >= QUIET) {
            self.paused_at = None;
            self.journal.note(Kind::Datapath, "the listener accepts connections again");
        }
        let carrier = self.carrier.clone();
        carrier.tally.accepted.fetch_add(1, Relaxed);
        match carrier.admit(peer) {
            Ok(seat) => {
                self.connections.spawn(async move { carrier.carry(client, peer, seat).await });
            }
            Err(failure) => self.refuse(&client, failure),
        }
    }

    fn refuse(&self, client: &TcpStream, failure: Failure) {
        self.carrier.tally.failed(failure);
        // Dropped, it is reset.
        if let Err(error) = SockRef::from(client).set_linger(Some(Duration::ZERO)) {
            tracing::debug!("a refused client is closed and not reset: {error}");
        }
    }

    /// A client that gave up costs nothing; a want of descriptors or memory takes a rest.
    async fn pause(&mut self, error: &io::Error) {
        if is_about_one_client(error) {
            return self.carrier.tally.failed(Failure::AcceptFailed);
        }
        self.carrier.tally.failed(Failure::AcceptPaused);
        if self.paused_at.replace(Instant::now()).is_none() {
            let message = format!("the listener cannot accept and pauses: {error}");
            self.journal.warn(Kind::Datapath, message);
        }
        sleep(PAUSE).await;
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

impl Leftover {
    /// Waits for them, at most so long; what is open then is reset. Returns how many that were.
    pub async fn drain(mut self, patience: Duration) -> usize {
        let all_ended = async { while self.connections.join_next().await.is_some() {} };
        let _in_time = timeout(patience, all_ended).await;
        let cut = self.connections.len();
        self.connections.shutdown().await;
        (0..cut).for_each(|_| self.tally.failed(Failure::CutAtShutdown));
        cut
    }
}
