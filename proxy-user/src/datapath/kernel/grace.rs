//! Grace periods of the kernel. What any processor was doing with a packet when one began, from the
//! programs on to a socket, is done when it is over: all of it happens inside one RCU section
//! (`__netif_receive_skb` in net/core/dev.c).

use std::{
    io, iter,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use rustix::thread::{MembarrierCommand, membarrier};
use tokio::sync::oneshot;
use tracing::warn;

/// Some milliseconds, mostly. `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu`, or nothing where there is
/// one processor, which would not be here in the midst of a packet (kernel/sched/membarrier.c). An
/// error where processors run without a tick (`nohz_full`).
pub fn wait() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::Global)?)
}

/// Waits for whoever asks, on a thread of its own. Those who ask meanwhile share the next one.
#[derive(Debug)]
pub struct Graces(Sender<Asker>);

type Asker = oneshot::Sender<()>;

impl Graces {
    /// An error where there are none to be had.
    pub fn start() -> io::Result<Self> {
        let refused = |error| format!("the kernel tells of no grace periods (nohz_full): {error}");
        wait().map_err(|error| io::Error::other(refused(error)))?;
        let (sender, askers) = mpsc::channel();
        thread::Builder::new().name("grace".into()).spawn(move || serve(&askers))?;
        Ok(Self(sender))
    }

    /// Heard of when one is over that begins after this. An error if that cannot be.
    pub fn next(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        // Nobody is there to hear: dropped, it tells the receiver so.
        let _unheard = self.0.send(sender);
        receiver
    }
}

fn serve(askers: &Receiver<Asker>) {
    while let Ok(first) = askers.recv() {
        let all: Vec<_> = iter::once(first).chain(askers.try_iter()).collect();
        match wait() {
            Ok(()) => all.into_iter().for_each(|asker| {
                let _stopped_waiting = asker.send(());
            }),
            Err(error) => warn!("connections stay on the relay, without a grace period: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asks_is_told() {
        let graces = Graces::start().unwrap();
        let all: Vec<_> = (0..5).map(|_| graces.next()).collect();
        for asked in all {
            asked.await.unwrap();
        }
    }
}
