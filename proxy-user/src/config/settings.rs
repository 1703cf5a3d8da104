//! One layer of settings, as flags and environment or as a file give them. All are optional here;
//! `config.rs` lays the layers over each other and fills in the defaults.

mod layers;
mod scalar;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub(super) use self::scalar::{parsed, parsed_list};
use super::{
    endpoint::Endpoint,
    invalid::Invalid,
    period::{Patience, Period},
    route::RouteSettings,
    source_ports::SourcePorts,
    values::{
        BindAddress, ConnectionLimit, DatapathChoice, FlowLogChoice, HandoverAfter, HealthKind,
        HookChoice, InterfaceName, LogFilter, LogFormat, MssClamp, PinDir, Probes, ProxyProtocol,
        ResolverAddress, SniPattern, SourceRange, StateDir, TableSize, VpceId,
    },
};

/// In the file each flag is a key of the same name, without the dashes in front.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Cluster endpoint to resolve and forward to; port 443 unless given
    #[arg(long, env = "ENIGATE_ENDPOINT", value_name = "HOST[:PORT]")]
    #[serde(deserialize_with = "parsed")]
    pub endpoint: Option<Endpoint>,

    /// Where clients connect [default: 0.0.0.0:443]
    #[arg(long, env = "ENIGATE_LISTEN", value_name = "IP:PORT")]
    #[serde(deserialize_with = "parsed")]
    pub listen: Option<BindAddress>,

    /// What moves the bytes [default: auto]
    #[arg(long, env = "ENIGATE_DATAPATH")]
    pub datapath: Option<DatapathChoice>,

    /// When a connection that the agent has accepted is handed over to eBPF: once it has moved so
    /// many bytes, or is so old [default: 32768,100ms]
    #[arg(long, env = "ENIGATE_HANDOVER_AFTER", value_name = "BYTES|TIME")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub handover_after: Option<HandoverAfter>,

    /// Where the packet path is attached [default: auto]
    #[arg(long, env = "ENIGATE_HOOK")]
    pub hook: Option<HookChoice>,

    /// Interface of the packet path [default: the one that holds the listen address, or the
    /// default route]
    #[arg(long, env = "ENIGATE_INTERFACE", value_name = "NAME")]
    #[serde(deserialize_with = "parsed")]
    pub interface: Option<InterfaceName>,

    /// DNS server to ask, may be repeated; port 53 unless given [default: the host's]
    #[arg(long, env = "ENIGATE_RESOLVER", value_name = "IP[:PORT]", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed_list")]
    pub resolver: Vec<ResolverAddress>,

    /// Shortest time between two resolutions, whatever the TTL [default: 1s]
    #[arg(long, env = "ENIGATE_MIN_TTL", value_name = "DURATION", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub min_ttl: Option<Period>,

    /// Longest time between two resolutions, whatever the TTL [default: 1m]
    #[arg(long, env = "ENIGATE_MAX_TTL", value_name = "DURATION", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub max_ttl: Option<Period>,

    /// Folder where the last good answer is kept, for a start while DNS is out
    /// [default: /var/lib/enigate]
    #[arg(long, env = "ENIGATE_STATE_DIR", value_name = "FOLDER")]
    #[serde(deserialize_with = "parsed")]
    pub state_dir: Option<StateDir>,

    /// How backends are probed [default: tcp]
    #[arg(long, env = "ENIGATE_HEALTH")]
    pub health: Option<HealthKind>,

    /// PEM file of the authorities that backends' certificates must come from, for --health tls and
    /// https [default: any certificate passes]
    #[arg(long, env = "ENIGATE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Time between two probes of a backend [default: 2s]
    #[arg(long, env = "ENIGATE_HEALTH_INTERVAL", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub health_interval: Option<Period>,

    /// Time a probe may take [default: 1s]
    #[arg(long, env = "ENIGATE_HEALTH_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub health_timeout: Option<Period>,

    /// Probes in a row that a live backend must fail to be down [default: 3]
    #[arg(long, env = "ENIGATE_FALL", value_name = "PROBES", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub fall: Option<Probes>,

    /// Probes in a row that a backend must pass to be live [default: 1]
    #[arg(long, env = "ENIGATE_RISE", value_name = "PROBES", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub rise: Option<Probes>,

    /// Time that an address must be missing from the answers before it counts as gone; at once
    /// if it fails its probes [default: 30s]
    #[arg(long, env = "ENIGATE_ABSENT_GRACE", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub absent_grace: Option<Patience>,

    /// Time that connections may stay on a backend that is gone from the answers and passes its
    /// probes, a tenth more or less [default: 1h]
    #[arg(long, env = "ENIGATE_DRAIN", value_name = "DURATION", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub drain: Option<Patience>,

    /// Age at which connections are reset, a tenth more or less [default: none]
    #[arg(long, env = "ENIGATE_MAX_AGE", value_name = "DURATION", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub max_age: Option<Period>,

    /// Keep new connections to backends in the host's own subnets while one there is live
    /// [default: false]
    #[arg(long, env = "ENIGATE_PREFER_ZONE", value_name = "BOOL", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true")]
    pub prefer_zone: Option<bool>,

    /// What stands before the client's own bytes; v2 where the load balancer writes it [default:
    /// off]
    #[arg(long, env = "ENIGATE_PROXY_PROTOCOL")]
    pub proxy_protocol: Option<ProxyProtocol>,

    /// Time for all that a client must say before an ENI is chosen: PROXY header, ClientHello
    /// [default: 10s]
    #[arg(long, env = "ENIGATE_HEADER_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub header_timeout: Option<Period>,

    /// Who may connect, may be repeated; behind PrivateLink that is the load balancer's subnets
    /// [default: everybody]
    #[arg(long, env = "ENIGATE_ALLOW_SOURCE", value_name = "CIDR", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed_list")]
    pub allow_source: Vec<SourceRange>,

    /// VPC endpoint whose connections are let through, may be repeated; needs --proxy-protocol v2
    /// [default: all]
    #[arg(long, env = "ENIGATE_ALLOW_VPCE", value_name = "ID", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed_list")]
    pub allow_vpce: Vec<VpceId>,

    /// Name that clients may ask for in their ClientHello, exact or *.domain, may be repeated
    /// [default: any]
    #[arg(long, env = "ENIGATE_SNI", value_name = "NAME", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed_list")]
    pub sni: Vec<SniPattern>,

    /// Connections that the listener carries at once; one more is reset [default: as many as the
    /// limit of open files has room for]
    #[arg(long, env = "ENIGATE_MAX_CONNECTIONS", value_name = "CONNECTIONS")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub max_connections: Option<ConnectionLimit>,

    /// Of those, from one address; with a PROXY header that is the consumer's own [default: no
    /// limit]
    #[arg(long, env = "ENIGATE_MAX_CONNECTIONS_PER_SOURCE", value_name = "CONNECTIONS")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub max_connections_per_source: Option<ConnectionLimit>,

    /// Of those, through one VPC endpoint [default: no limit]
    #[arg(long, env = "ENIGATE_MAX_CONNECTIONS_PER_VPCE", value_name = "CONNECTIONS")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub max_connections_per_vpce: Option<ConnectionLimit>,

    /// Time that the relay gives a backend to accept a connection, before it tries the next
    /// [default: 3s]
    #[arg(long, env = "ENIGATE_CONNECT_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub connect_timeout: Option<Period>,

    /// Silence before the first keepalive on both legs of a relayed connection [default: 1m]
    #[arg(long, env = "ENIGATE_KEEPALIVE", value_name = "DURATION", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub keepalive: Option<Period>,

    /// Time that either peer of a relayed connection may leave data without an acknowledgement, or
    /// keep its window shut [default: 5m]
    #[arg(long, env = "ENIGATE_USER_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub user_timeout: Option<Period>,

    /// Silence after which a relayed connection is reset that one side has ended [default: 1m]
    #[arg(long, env = "ENIGATE_HALF_CLOSE_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub half_close_timeout: Option<Period>,

    /// Connections that the flow table of the packet path has room for [default: 131072]
    #[arg(long, env = "ENIGATE_TABLE_SIZE", value_name = "CONNECTIONS")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub table_size: Option<TableSize>,

    /// Source ports of connections to backends: FIRST-LAST, or auto for those that the kernel gives
    /// to no socket; reserved while the packet path is attached where the two overlap
    /// [default: auto]
    #[arg(long, env = "ENIGATE_SOURCE_PORTS", value_name = "auto|FIRST-LAST")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub source_ports: Option<SourcePorts>,

    /// Silence after which a connection that has not opened leaves the flow table [default: 10s]
    #[arg(long, env = "ENIGATE_TIMEOUT_SYN", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub timeout_syn: Option<Period>,

    /// Silence after which an open connection leaves the flow table [default: 6100s]
    #[arg(long, env = "ENIGATE_TIMEOUT_IDLE", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub timeout_idle: Option<Period>,

    /// Silence after which a connection that both sides have closed leaves the flow table
    /// [default: 2m]
    #[arg(long, env = "ENIGATE_TIMEOUT_CLOSING", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub timeout_closing: Option<Period>,

    /// Time over which the connections of a backend are reset that is down or has drained
    /// [default: 2s]
    #[arg(long, env = "ENIGATE_RESET_WINDOW", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub reset_window: Option<Patience>,

    /// Largest segment that the ends of a connection on the packet path may offer each other, in
    /// bytes of payload [default: off]
    #[arg(long, env = "ENIGATE_MSS_CLAMP", value_name = "off|BYTES", allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub mss_clamp: Option<MssClamp>,

    /// Folder on a BPF file system where the packet path outlives the agent
    /// [default: /sys/fs/bpf/enigate]
    #[arg(long, env = "ENIGATE_PIN_DIR", value_name = "FOLDER")]
    #[serde(deserialize_with = "parsed")]
    pub pin_dir: Option<PinDir>,

    /// Where health, metrics and status are served [default: 127.0.0.1:9090]
    #[arg(long, env = "ENIGATE_ADMIN", value_name = "IP:PORT")]
    #[serde(deserialize_with = "parsed")]
    pub admin: Option<BindAddress>,

    /// Form of the log on standard error [default: text]
    #[arg(long, env = "ENIGATE_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// error, warn, info, debug, trace, or a filter such as info,proxy_user=debug [default: info]
    #[arg(long, env = "ENIGATE_LOG_LEVEL", value_name = "FILTER")]
    #[serde(deserialize_with = "parsed")]
    pub log_level: Option<LogFilter>,

    /// One log line for each connection that ends, or is opened too [default: off]
    #[arg(long, env = "ENIGATE_FLOW_LOG")]
    pub flow_log: Option<FlowLogChoice>,

    /// Log what the packet path says about single packets; slow [default: false]
    #[arg(long, env = "ENIGATE_EBPF_LOG", value_name = "BOOL", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true")]
    pub ebpf_log: Option<bool>,

    /// Time that new connections are still accepted at a shutdown, while /readyz already fails
    /// [default: 2m]
    #[arg(long, env = "ENIGATE_DRAIN_ACCEPT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub drain_accept: Option<Patience>,

    /// Time after which a shutdown resets the connections that the listener still carries, from
    /// its start [default: 5m]
    #[arg(long, env = "ENIGATE_DRAIN_DEADLINE", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub drain_deadline: Option<Patience>,

    /// Several clusters; a key of the file alone
    #[arg(skip)]
    pub route: Vec<RouteSettings>,
}

impl Settings {
    pub fn read(path: &Path) -> Result<Self, Invalid> {
        let text = fs::read_to_string(path)
            .map_err(|error| Invalid::new(format!("cannot be read: {error}")))?;
        toml::from_str(&text).map_err(|error| Invalid::new(error.to_string().trim_end()))
    }
}
