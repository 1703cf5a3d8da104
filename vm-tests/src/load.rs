//! Clients that keep asking, and count what came of it.
//!
//! A failed request is any error but one that HTTP/2 itself declares safe to repeat, which the
//! client library does by itself. A watch that the server ends is opened again; one that breaks,
//! or cannot be opened again, is a failure.

use std::{
    error::Error as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use reqwest::Response;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    client::{Client, Reply},
    counts::{Counts, Tally},
    routes,
};

/// Longer than any request may take.
const STOP: Duration = Duration::from_secs(25);
/// After a failure, so that a refused connection does not become a busy loop.
const RECOVERY: Duration = Duration::from_millis(100);
/// A server sends an event four times a second.
const SILENCE: Duration = Duration::from_secs(10);
const WATCH: &str = "/api/v1/pods?watch=true";
const PATHS: [&str; 4] = ["/readyz", "/version", "/readyz", "/api/v1/pods"];

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

#[derive(Clone, Default)]
struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    pub(crate) fn start(client: &Client, mix: Mix) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let tally = SharedTally::default();
        let worker = |client| Worker {
            client,
            tally: tally.clone(),
            stopped: stopped.clone(),
            pause: mix.pause,
        };
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    Fresh,
    Kept,
}

struct Worker {
    client: Client,
    tally: SharedTally,
    stopped: watch::Receiver<bool>,
    pause: Duration,
}

/// How a watch came to its end.
enum WatchEnd {
    ByServer,
    ByUs,
    Broken(String),
}

impl Worker {
    async fn ask(mut self, connections: Connections) {
        for path in PATHS.iter().cycle() {
            let pause = match self.client.get(path).await {
                Ok(reply) if reply.status == 200 => {
                    self.count(&reply, connections);
                    self.pause
                }
                Ok(reply) => self.failed(path, &format!("status {}", reply.status)),
                Err(error) => self.failed(path, &format!("{error:#}")),
            };
            if self.stopped_within(pause).await {
                return;
            }
        }
    }

    async fn watch(mut self) {
        let mut again = false;
        while !*self.stopped.borrow() {
            let started = Instant::now();
            let pause = match self.client.open(WATCH).await {
                Err(error) => self.failed(WATCH, &chain(&error)),
                Ok(response) => {
                    let eni = eni_of(&response);
                    self.tally.lock().watch_opened(&eni, started.elapsed(), again);
                    again = true;
                    let end = self.read(response).await;
                    self.tally.lock().watch_closed();
                    match end {
                        WatchEnd::ByUs => return,
                        WatchEnd::ByServer => Duration::ZERO,
                        WatchEnd::Broken(error) => self.failed(WATCH, &error),
                    }
                }
            };
            if self.stopped_within(pause).await {
                return;
            }
        }
    }

    async fn read(&mut self, mut response: Response) -> WatchEnd {
        loop {
            let chunk = tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => return WatchEnd::ByUs,
                chunk = timeout(SILENCE, response.chunk()) => chunk,
            };
            match chunk {
                Ok(Ok(Some(chunk))) => self.tally.lock().watch_event(chunk.len() as u64),
                Ok(Ok(None)) => return WatchEnd::ByServer,
                Ok(Err(error)) => return WatchEnd::Broken(chain(&error)),
                Err(_) => return WatchEnd::Broken(format!("silent for {SILENCE:?}")),
            }
        }
    }

    fn count(&self, reply: &Reply, connections: Connections) {
        let mut tally = self.tally.lock();
        tally.answered(&reply.eni, reply.body.len() as u64, reply.took);
        if connections == Connections::Fresh {
            tally.connected();
        }
    }

    /// Counts it, and says how long to wait before the next try.
    fn failed(&self, path: &str, error: &str) -> Duration {
        self.tally.lock().failed(format!("{path}: {error}"));
        RECOVERY
    }

    async fn stopped_within(&mut self, pause: Duration) -> bool {
        timeout(pause, self.stopped.wait_for(|stopped| *stopped)).await.is_ok()
    }
}

fn eni_of(response: &Response) -> String {
    let header = response.headers().get(routes::ENI).and_then(|value| value.to_str().ok());
    header.unwrap_or("unknown").to_owned()
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
