//! When the agent ends, and how: the first request drains, a second signal ends at once; a successor
//! that takes its place lets it retire.
//!
//! ```text
//! Serving --request--> Draining --time--> Closing --nothing is open, or time--> the end
//!   |  ^
//!   |  +--the successor gave up--+
//!   +--a successor is ready---> Paused --it serves--> Retired --nothing is open, or time--> the end
//! ```

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Serving,
    /// Nothing is accepted, and nothing refused: connections wait in the kernel's queue.
    Paused,
    /// New connections should go elsewhere, and are still taken: a load balancer sends some for as
    /// long as it has not noticed.
    Draining,
    /// Nothing new is taken.
    Closing,
    /// A successor takes what is new, and answers for the appliance.
    Retired,
}

impl Phase {
    /// Clients' connections are accepted.
    pub const fn accepts(self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }

    /// Never again will any be.
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::Retired)
    }

    /// The admin endpoint is this agent's.
    pub const fn answers(self) -> bool {
        !matches!(self, Self::Paused | Self::Retired)
    }
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
