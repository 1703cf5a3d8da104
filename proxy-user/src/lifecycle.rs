//! When the agent ends, and how: the first request drains, a second signal ends at once.
//!
//! ```text
//! Serving --request--> Draining --time--> Closing --nothing is open, or time--> the end
//!                      not ready, accepts          accepts nothing
//! ```

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, watch},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Serving,
    /// New connections should go elsewhere, and are still taken: a load balancer sends some for as
    /// long as it has not noticed.
    Draining,
    /// Nothing new is taken.
    Closing,
}

/// Asks the agent to drain, as a first signal does; asked again, nothing more happens.
#[derive(Clone, Debug, Default)]
pub struct DrainRequest(Arc<Notify>);

/// Where requests to end come from.
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
    request: DrainRequest,
}

impl DrainRequest {
    pub fn make(&self) {
        self.0.notify_one();
    }
}

impl Stops {
    pub fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            request: DrainRequest::default(),
        })
    }

    pub fn request(&self) -> DrainRequest {
        self.request.clone()
    }

    /// Who wants an end: a signal's name, or a request.
    pub async fn first(&mut self) -> &'static str {
        let request = self.request.clone();
        tokio::select! {
            name = self.signal() => name,
            () = request.0.notified() => "POST /drain",
        }
    }

    /// The name of the next one.
    pub async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Until nothing new is to be taken.
pub async fn closing(mut phase: watch::Receiver<Phase>) {
    // An error means that the agent is gone, and with it every reason to serve.
    let _ended = phase.wait_for(|phase| *phase == Phase::Closing).await;
}
