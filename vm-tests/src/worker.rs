//! One client of a load: asks again and again, or reads watches.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use reqwest::Response;
use tokio::{sync::watch, time::timeout};

use crate::{
    client::{Client, Reply},
    counts::SharedTally,
    routes,
};

/// After a failure, so that a refused connection does not become a busy loop.
const RECOVERY: Duration = Duration::from_millis(100);
/// A server sends an event four times a second.
const SILENCE: Duration = Duration::from_secs(10);
const WATCH: &str = "/api/v1/pods?watch=true";
const PATHS: [&str; 4] = ["/readyz", "/version", "/readyz", "/api/v1/pods"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    Fresh,
    Kept,
}

pub(crate) struct Worker {
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
    pub(crate) fn new(
        client: Client,
        tally: SharedTally,
        stopped: watch::Receiver<bool>,
        pause: Duration,
    ) -> Self {
        Self { client, tally, stopped, pause }
    }

    pub(crate) async fn ask(mut self, connections: Connections) {
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

    pub(crate) async fn watch(mut self) {
        for number in 0.. {
            let pause = match self.watch_once(number > 0).await {
                WatchEnd::ByUs => return,
                WatchEnd::ByServer => Duration::ZERO,
                WatchEnd::Broken(error) => self.failed(WATCH, &error),
            };
            if self.stopped_within(pause).await {
                return;
            }
        }
    }

    async fn watch_once(&mut self, again: bool) -> WatchEnd {
        let started = Instant::now();
        let response = match timeout(SILENCE, self.client.open(WATCH)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return WatchEnd::Broken(chain(&error)),
            Err(_) => return WatchEnd::Broken(format!("no answer within {SILENCE:?}")),
        };
        self.tally.lock().watch_opened(&eni_of(&response), started.elapsed(), again);
        let end = self.read(response).await;
        self.tally.lock().watch_closed();
        end
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
