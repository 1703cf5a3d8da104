//! Clients that keep asking, and count what came of it.
//!
//! A failed request is any error but one that HTTP/2 itself declares safe to repeat, which the
//! client library does by itself. A watch that the server ends is opened again; one that breaks,
//! or cannot be opened again, is a failure.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    client::Client,
    counts::{Counts, SharedTally},
    worker::{Connections, Worker},
};

/// Longer than any request may take.
const STOP: Duration = Duration::from_secs(25);

/// How many workers of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// A new connection for each request.
    pub fresh: usize,
    /// One HTTP/2 connection each, kept.
    pub kept: usize,
    /// One endless watch each.
    pub watches: usize,
    /// Between two requests of one worker.
    pub pause: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Self { fresh: 3, kept: 3, watches: 3, pause: Duration::from_millis(20) }
    }
}

/// Ends when it is dropped, in the middle of whatever it does; `stop` lets requests end.
pub struct Load {
    tally: SharedTally,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(client: &Client, mix: Mix) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let tally = SharedTally::default();
        let worker = |client| Worker::new(client, tally.clone(), stopped.clone(), mix.pause);
        let inside = client.inside();
        let mut workers = Vec::new();
        for _ in 0..mix.fresh {
            workers.push(inside.spawn(worker(client.clone()).ask(Connections::Fresh)));
        }
        for _ in 0..mix.kept {
            workers.push(inside.spawn(worker(client.kept()?).ask(Connections::Kept)));
        }
        for _ in 0..mix.watches {
            workers.push(inside.spawn(worker(client.kept()?).watch()));
        }
        Ok(Self { tally, stop, workers })
    }

    pub fn counts(&self) -> Counts {
        self.tally.lock().counts()
    }

    /// Until so many watches, in all, were opened again that a server had closed.
    pub async fn until_reopened(&self, watches: u64) -> anyhow::Result<()> {
        let mut reopened = self.tally.lock().reopened();
        reopened.wait_for(|count| *count >= watches).await.context("the load is gone")?;
        Ok(())
    }

    /// Lets requests under way end, closes the watches, and counts for the last time.
    pub async fn stop(mut self) -> anyhow::Result<Counts> {
        self.stop.send_replace(true);
        for worker in &mut self.workers {
            timeout(STOP, worker).await.context("a request of the load did not end")??;
        }
        Ok(self.counts())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}
