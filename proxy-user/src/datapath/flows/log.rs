//! One line of log for a connection that has been opened or has ended.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use proxy_common::{
    addr::{Addr, Port, socket},
    config::{Events, MAX_LOCALS},
    event::{Change, FlowEvent},
    stamp::Stamp,
};
use tracing::info;

use crate::datapath::kernel;

/// What log filters call these lines.
pub const TARGET: &str = "flow";

/// One moment on both clocks: the programs' stamps know nothing of the calendar.
#[derive(Clone, Copy, Debug)]
struct Moment {
    stamp: Stamp,
    time: Timestamp,
}

#[derive(Clone, Debug)]
pub struct FlowLog {
    wanted: Events,
    locals: [Addr; MAX_LOCALS],
}

impl FlowLog {
    pub const fn new(wanted: Events, locals: [Addr; MAX_LOCALS]) -> Self {
        Self { wanted, locals }
    }

    pub fn is_off(&self) -> bool {
        self.wanted == Events::None
    }

    pub fn write(&self, events: &[FlowEvent]) -> anyhow::Result<()> {
        if self.is_off() || events.is_empty() {
            return Ok(());
        }
        let now = Moment { stamp: kernel::now()?, time: Timestamp::now() };
        for event in events {
            // Of a newer version's program, or of none: this agent has no word for it.
            let Some(change) = event.change() else { continue };
            if self.wanted.include(change) {
                self.line(event, Some(change).filter(|change| *change != Change::Opened), now);
            }
        }
        Ok(())
    }

    /// `ended`: why it has, if it has. Without, what is only known at the end is left out.
    fn line(&self, event: &FlowEvent, ended: Option<Change>, now: Moment) {
        let at_end = |count: u64| ended.map(|_| count);
        info!(
            target: TARGET,
            client = %socket(event.client, event.client_port),
            listen = %self.local(event, event.listen),
            source = %self.local(event, event.source_port),
            backend = %socket(event.backend, event.backend_port),
            opened = %now.time_of(event.opened),
            closed = ended.map(|_| display(now.time_of(event.at))),
            duration_ms = at_end(millis(event)),
            bytes_to_backend = at_end(event.bytes_to_backend),
            bytes_to_client = at_end(event.bytes_to_client),
            packets_to_backend = at_end(event.packets_to_backend.into()),
            packets_to_client = at_end(event.packets_to_client.into()),
            why = ended.map(Change::as_str),
            "{}",
            if ended.is_some() { "closed" } else { "opened" },
        );
    }

    fn local(&self, event: &FlowEvent, port: Port) -> SocketAddr {
        let address = self.locals.get(usize::from(event.local.0)).copied();
        socket(address.unwrap_or_default(), port)
    }
}

fn millis(event: &FlowEvent) -> u64 {
    let duration = std::time::Duration::from(event.at.since(event.opened));
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Moment {
    fn time_of(self, stamp: Stamp) -> Timestamp {
        let ago = std::time::Duration::from(self.stamp.since(stamp));
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::ZERO);
        self.time.checked_sub(ago).unwrap_or(self.time)
    }
}
