//! One line of log for a connection that has been opened or has ended, whoever carries it.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use tracing::info;

use super::preface::{Consumer, ServerName};

/// What log filters call these lines.
pub const TARGET: &str = "flow";

/// What is not known is left out.
pub struct Line<'a> {
    /// The data path that carries it.
    pub path: &'static str,
    pub client: SocketAddr,
    pub listen: SocketAddr,
    pub source: SocketAddr,
    pub backend: SocketAddr,
    pub consumer: Option<&'a Consumer>,
    pub server_name: Option<&'a ServerName>,
    pub opened: Timestamp,
    /// What is only known at the end.
    pub end: Option<End>,
}

pub struct End {
    pub at: Timestamp,
    pub duration: Duration,
    /// Of whole IP packets on the packet path, of payload elsewhere.
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
    /// To the backend and to the client, where packets are counted.
    pub packets: Option<[u32; 2]>,
    pub why: &'static str,
}

impl Line<'_> {
    pub fn write(&self) {
        let end = self.end.as_ref();
        let packets = end.and_then(|end| end.packets);
        info!(
            target: TARGET,
            path = self.path,
            client = %self.client,
            listen = %self.listen,
            source = %self.source,
            backend = %self.backend,
            consumer = self.consumer.map(|consumer| display(consumer.source)),
            vpce = self.consumer.and_then(|consumer| consumer.vpce.as_ref()).map(display),
            server_name = self.server_name.map(display),
            opened = %self.opened,
            closed = end.map(|end| display(end.at)),
            duration_ms = end.map(|end| millis(end.duration)),
            bytes_to_backend = end.map(|end| end.bytes_to_backend),
            bytes_to_client = end.map(|end| end.bytes_to_client),
            packets_to_backend = packets.map(|[to_backend, _]| u64::from(to_backend)),
            packets_to_client = packets.map(|[_, to_client]| u64::from(to_client)),
            why = end.map(|end| end.why),
            "{}",
            if end.is_some() { "closed" } else { "opened" },
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
