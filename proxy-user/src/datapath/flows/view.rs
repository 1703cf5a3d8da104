//! What is known of the packet path, and what of it somebody should be told.

use std::{collections::BTreeMap, time::Instant};

use proxy_common::{
    backend::BackendId,
    counter::Counter,
    event::{Change, FlowEvent},
    reason::Reason,
};

use super::alarm::Alarm;
use crate::datapath::kernel::{BackendCounters, Kernel};

#[derive(Clone, Debug, Default)]
pub struct View {
    /// The generation that new connections see; `None` before this agent's first.
    pub in_force: Option<u64>,
    pub entries: u64,
    pub capacity: u64,
    pub swept: u64,
    /// Connections that the agent has ended, by reason.
    pub resets: BTreeMap<&'static str, u64>,
    pub failures: u64,
    /// Of the newest attempt; `None` if it went well.
    pub error: Option<String>,
    pub counted: Counted,
}

impl View {
    /// Of connections that are over, those that the agent has reset.
    pub fn count_resets(&mut self, ended: &[FlowEvent]) {
        for change in ended.iter().filter_map(FlowEvent::change) {
            if matches!(change, Change::BackendDown | Change::Drained | Change::MaxAge) {
                *self.resets.entry(change.as_str()).or_default() += 1;
            }
        }
    }
}

/// The programs' counters.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub backends: BTreeMap<BackendId, BackendCounters>,
    pub reasons: BTreeMap<String, u64>,
    /// Flow events for which there was no room.
    pub events_lost: u64,
    /// SYNs whose MSS was lowered.
    pub mss_clamped: u64,
    /// Packets of the agent's own sockets that were kept from the wire.
    pub guarded: u64,
}

impl Counted {
    pub fn read(kernel: &Kernel, ids: &[BackendId]) -> anyhow::Result<Self> {
        let backends = ids.iter().map(|id| Ok((*id, kernel.counters(id.0)?)));
        Ok(Self {
            backends: backends.collect::<anyhow::Result<_>>()?,
            reasons: kernel.reasons()?,
            events_lost: kernel.counter(Counter::EventsLost)?,
            mss_clamped: kernel.counter(Counter::MssClamped)?,
            guarded: kernel.counter(Counter::Guarded)?,
        })
    }

    fn reason(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.as_str()).copied().unwrap_or(0)
    }
}

/// What an operator should do something about.
pub struct Alarms {
    table_full: Alarm,
    ports_exhausted: Alarm,
    events_lost: Alarm,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            table_full: Alarm::new(
                "new connections found the flow table full and were left to the listener; \
                 raise --table-size",
            ),
            ports_exhausted: Alarm::new(
                "new connections found no free source port to their backend and were left to the \
                 listener; widen --source-ports, or serve fewer clients with each instance",
            ),
            events_lost: Alarm::new("flow events were lost: there are more than can be logged"),
        }
    }
}

impl Alarms {
    pub fn look(&mut self, counted: &Counted, now: Instant) -> Vec<String> {
        let looks = [
            self.table_full.look(counted.reason(Reason::TableFull), now),
            self.ports_exhausted.look(counted.reason(Reason::PortsExhausted), now),
            self.events_lost.look(counted.events_lost, now),
        ];
        looks.into_iter().flatten().collect()
    }
}
