//! One thread that accepts connections and carries them to their end.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::{mpsc, watch},
};

use super::{super::carry::Carrier, pauses::Pauses};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Paused,
    Accepting,
    /// What is open goes on.
    Draining,
    /// What is open is reset.
    Cut,
}

/// Every connection's task holds the sender's copy: they are counted by it, and known to have ended
/// when the last is gone.
type Open = mpsc::Sender<Infallible>;

pub struct Worker {
    carrier: Arc<Carrier>,
    pauses: Arc<Pauses>,
    stages: watch::Receiver<Stage>,
}

impl Worker {
    pub fn new(carrier: Arc<Carrier>, pauses: Arc<Pauses>, stages: watch::Receiver<Stage>) -> Self {
        Self { carrier, pauses, stages }
    }

    /// Until all its connections have ended or are to be cut. Returns how many it cut: they are
    /// reset as the runtime is dropped with them.
    pub fn run(self, socket: StdListener) -> io::Result<usize> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(socket))
    }

    async fn serve(self, socket: StdListener) -> io::Result<usize> {
        let (open, mut ended) = mpsc::channel(1);
        let stop = self.reached(Stage::Draining);
        tokio::select! {
            () = stop => {}
            accepting = self.accept(socket, &open) => return accepting.map(|never| match never {}),
        }
        drop(open);
        tokio::select! {
            _all = ended.recv() => {}
            () = self.reached(Stage::Cut) => {}
        }
        Ok(ended.sender_strong_count())
    }

    /// Also when nobody is left who could say so.
    async fn reached(&self, stage: Stage) {
        let mut stages = self.stages.clone();
        let _said_or_gone = stages.wait_for(|now| *now >= stage).await;
    }

    async fn accept(&self, socket: StdListener, open: &Open) -> io::Result<Infallible> {
        let socket = TcpListener::from_std(socket)?;
        loop {
            self.reached(Stage::Accepting).await;
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((client, peer)) => self.take(client, peer, open),
                    Err(error) => self.pauses.after(&error).await,
                },
                () = self.paused() => {}
            }
        }
    }

    async fn paused(&self) {
        let mut stages = self.stages.clone();
        if stages.wait_for(|now| *now == Stage::Paused).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Where it is refused, the client is reset as it is dropped here.
    fn take(&self, client: TcpStream, peer: SocketAddr, open: &Open) {
        self.pauses.are_over();
        let carrier = self.carrier.clone();
        carrier.tally.accepted.fetch_add(1, Relaxed);
        match carrier.admit(peer) {
            Ok(seat) => {
                tokio::spawn(carrier.carry(client, peer, seat, open.clone()));
            }
            Err(failure) => carrier.tally.failed(failure),
        }
    }
}
