//! Lines of the flow log for connections of the packet path.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proxy_common::{
    addr::{Addr, Port, socket},
    config::{Events, MAX_LOCALS},
    event::{Change, FlowEvent},
    stamp::Stamp,
};

use crate::datapath::{
    flow_log::{End, Line},
    handover::Handover,
    kernel,
};

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
    /// Whose connections have accounts of their own.
    handover: Option<Arc<Handover>>,
}

impl FlowLog {
    pub const fn new(
        wanted: Events,
        locals: [Addr; MAX_LOCALS],
        handover: Option<Arc<Handover>>,
    ) -> Self {
        Self { wanted, locals, handover }
    }

    /// Nobody wants to hear of anything.
    pub fn is_off(&self) -> bool {
        self.wanted == Events::None && self.handover.is_none()
    }

    pub fn write(&self, events: &[FlowEvent]) -> anyhow::Result<()> {
        if self.is_off() || events.is_empty() {
            return Ok(());
        }
        let now = Moment { stamp: kernel::now()?, time: Timestamp::now() };
        for event in events {
            // Of a newer version's program, or of none: this agent has no word for it.
            let Some(change) = event.change() else { continue };
            if change.is_end() && self.handover.as_ref().is_some_and(|it| it.kept.end(event)) {
                continue;
            }
            if self.wanted.include(change) && change != Change::HandedOver {
                self.line(event, change, now).write();
            }
        }
        Ok(())
    }

    fn line(&self, event: &FlowEvent, change: Change, now: Moment) -> Line<'static> {
        Line {
            path: if self.handover.is_some() { "handover" } else { "packet" },
            client: socket(event.client, event.client_port),
            listen: self.local(event, event.listen),
            source: self.local(event, event.source_port),
            backend: socket(event.backend, event.backend_port),
            consumer: None,
            server_name: None,
            opened: now.time_of(event.opened),
            end: (change != Change::Opened).then(|| End {
                at: now.time_of(event.at),
                duration: Duration::from(event.at.since(event.opened)),
                bytes_to_backend: event.bytes_to_backend,
                bytes_to_client: event.bytes_to_client,
                packets: Some([event.packets_to_backend, event.packets_to_client]),
                why: change.as_str(),
            }),
        }
    }

    fn local(&self, event: &FlowEvent, port: Port) -> SocketAddr {
        let address = self.locals.get(usize::from(event.local.0)).copied();
        socket(address.unwrap_or_default(), port)
    }
}

impl Moment {
    fn time_of(self, stamp: Stamp) -> Timestamp {
        let ago = Duration::from(self.stamp.since(stamp));
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::ZERO);
        self.time.checked_sub(ago).unwrap_or(self.time)
    }
}
