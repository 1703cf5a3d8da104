//! What `/status` says: the one description of the agent that the CLI, the lab and people read.
//!
//! Every duration is in milliseconds unless the field's name says otherwise, every instant is
//! RFC 3339 in UTC, every byte count is of whole IP packets on the packet path and of payload on
//! the relay.

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started_at: Timestamp,
    pub ready: bool,
    /// Why not, or why only just; `None` when there is nothing to say.
    pub reason: Option<String>,
    pub datapath: DatapathStatus,
    /// At least one.
    pub routes: Vec<RouteStatus>,
    pub listener: ListenerStatus,
    /// Packets that the packet path dropped or left to the host's stack, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The newest last.
    pub events: Vec<Event>,
}

/// One cluster, and the way to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    pub endpoint: String,
    pub listen: SocketAddr,
    /// The names that clients must ask for; empty where none is looked at.
    pub server_names: Vec<String>,
    pub dns: DnsStatus,
    /// Counts published snapshots; grows by one with each change of backends.
    pub generation: u64,
    pub backends: Vec<BackendStatus>,
}

impl Status {
    /// Of all routes.
    pub fn backends(&self) -> impl Iterator<Item = &BackendStatus> {
        self.routes.iter().flat_map(|route| &route.backends)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatapathStatus {
    /// `packet`, `handover`, `sockmap` or `relay`.
    pub name: String,
    /// Why this one.
    pub reason: String,
    /// `tcx`, `clsact`, `xdp` or `xdp-generic`; `None` where nothing is attached.
    pub hook: Option<String>,
    pub interface: Option<String>,
    /// Entries of the flow table, two for each connection.
    pub flow_entries: u64,
    pub flow_capacity: u64,
    /// Flow events that could not be logged: there were too many at once.
    pub flow_events_lost: u64,
    /// SYNs whose maximum segment size was lowered.
    pub mss_clamped: u64,
    /// On the sockmap data path alone.
    pub sockmap: Option<SockmapStatus>,
    /// On the handover data path alone.
    pub handover: Option<HandoverStatus>,
    /// Connections that the agent has ended, by reason.
    pub resets: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DnsStatus {
    pub resolvers: Vec<String>,
    /// The last good answer, in a stable order.
    pub addresses: Vec<IpAddr>,
    /// Who gave it: `resolver`, or `saved` from disk by an earlier agent.
    pub source: Option<String>,
    /// Since the resolver last gave it.
    pub age_seconds: Option<u64>,
    /// As the resolver sent it, before it was clamped; a saved answer has none.
    pub ttl_seconds: Option<u64>,
    pub next_in_ms: Option<u64>,
    pub answers: u64,
    pub failures: u64,
    pub last_error: Option<String>,
    /// What is wrong with the newest answer, although it serves.
    pub doubt: Option<String>,
    /// Addresses that were left out of answers, by reason, each as often as it came.
    pub refused: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    pub id: u16,
    pub address: SocketAddr,
    pub state: BackendState,
    /// Is it in the last good answer?
    pub resolved: bool,
    /// Is it in one of the appliance's own subnets?
    pub own_zone: bool,
    pub probe: ProbeStatus,
    pub open: u64,
    pub opened: u64,
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
    pub packets_to_backend: u64,
    pub packets_to_client: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// In an answer, not yet known to live.
    Probing,
    /// Takes new connections; so does the last resort, which fails its probes.
    Live,
    /// Gone from the answer: keeps what it has for a while, takes nothing new.
    Draining,
    /// Fails its probes.
    Down,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeStatus {
    pub last_ms: Option<f64>,
    pub passed: u64,
    pub failed: u64,
    /// Times that connections gave reason to probe it sooner: it did not accept one in time, or left
    /// a SYN without an answer.
    pub suspected: u64,
    pub last_error: Option<String>,
}

/// Connections that user space accepted, whatever became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    pub accepted: u64,
    pub open: u64,
    pub relayed: u64,
    /// Refused or broken, by reason.
    pub failures: BTreeMap<String, u64>,
    /// By VPC endpoint, where PROXY headers name it.
    pub consumers: BTreeMap<String, ConsumerStatus>,
}

/// Connections that came through one VPC endpoint and reached a backend; payload bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    pub open: u64,
    pub opened: u64,
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
}

/// What became of relayed connections on the sockmap data path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SockmapStatus {
    /// In the map now.
    pub open: u64,
    pub spliced: u64,
    /// Left to user space for good, by reason.
    pub fell_back: BTreeMap<String, u64>,
}

/// What became of accepted connections on the handover data path, since the agent has started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HandoverStatus {
    /// The program's now.
    pub open: u64,
    /// On the relay, and may still be handed over.
    pub pending: u64,
    pub handed_over: u64,
    /// Times that a connection was offered to the program.
    pub armed: u64,
    /// Relayed to their end, or for good, by reason.
    pub relayed: BTreeMap<String, u64>,
    /// Packets of the agent's own sockets that were kept from the wire, their connections having been
    /// handed over.
    pub guarded: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    /// `dns`, `backend`, `datapath` or `lifecycle`.
    pub kind: String,
    pub message: String,
}
