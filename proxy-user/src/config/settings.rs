//! One layer of settings, as flags and environment or as a file give them. All are optional here;
//! `config.rs` lays the layers over each other and fills in the defaults.

use std::{
    fmt::{self, Display},
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

use super::{
    endpoint::Endpoint,
    invalid::Invalid,
    period::{Patience, Period},
    source_ports::SourcePorts,
    values::{
        BindAddress, DatapathChoice, FlowLogChoice, HealthKind, HookChoice, InterfaceName,
        LogFilter, LogFormat, MssClamp, PinDir, Probes, ResolverAddress, StateDir, TableSize,
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

    /// Time that the relay gives a backend to accept a connection, before it tries the next
    /// [default: 3s]
    #[arg(long, env = "ENIGATE_CONNECT_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub connect_timeout: Option<Period>,

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

    /// One log line for each connection of the packet path that ends, or is opened too [default:
    /// off]
    #[arg(long, env = "ENIGATE_FLOW_LOG")]
    pub flow_log: Option<FlowLogChoice>,

    /// Log what the packet path says about single packets; slow [default: false]
    #[arg(long, env = "ENIGATE_EBPF_LOG", value_name = "BOOL", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true")]
    pub ebpf_log: Option<bool>,

    /// Time that relayed connections get to end by themselves at a shutdown [default: 5s]
    #[arg(long, env = "ENIGATE_DRAIN_TIMEOUT", value_name = "DURATION")]
    #[arg(allow_hyphen_values = true)]
    #[serde(deserialize_with = "parsed")]
    pub drain_timeout: Option<Patience>,
}

impl Settings {
    pub fn read(path: &Path) -> Result<Self, Invalid> {
        let text = fs::read_to_string(path)
            .map_err(|error| Invalid::new(format!("cannot be read: {error}")))?;
        toml::from_str(&text).map_err(|error| Invalid::new(error.to_string().trim_end()))
    }

    /// These settings where they are given, the lower layer's where not.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(lower.endpoint),
            listen: self.listen.or(lower.listen),
            datapath: self.datapath.or(lower.datapath),
            hook: self.hook.or(lower.hook),
            interface: self.interface.or(lower.interface),
            resolver: if self.resolver.is_empty() { lower.resolver } else { self.resolver },
            min_ttl: self.min_ttl.or(lower.min_ttl),
            max_ttl: self.max_ttl.or(lower.max_ttl),
            state_dir: self.state_dir.or(lower.state_dir),
            health: self.health.or(lower.health),
            ca: self.ca.or(lower.ca),
            health_interval: self.health_interval.or(lower.health_interval),
            health_timeout: self.health_timeout.or(lower.health_timeout),
            fall: self.fall.or(lower.fall),
            rise: self.rise.or(lower.rise),
            absent_grace: self.absent_grace.or(lower.absent_grace),
            drain: self.drain.or(lower.drain),
            max_age: self.max_age.or(lower.max_age),
            prefer_zone: self.prefer_zone.or(lower.prefer_zone),
            connect_timeout: self.connect_timeout.or(lower.connect_timeout),
            table_size: self.table_size.or(lower.table_size),
            source_ports: self.source_ports.or(lower.source_ports),
            timeout_syn: self.timeout_syn.or(lower.timeout_syn),
            timeout_idle: self.timeout_idle.or(lower.timeout_idle),
            timeout_closing: self.timeout_closing.or(lower.timeout_closing),
            reset_window: self.reset_window.or(lower.reset_window),
            mss_clamp: self.mss_clamp.or(lower.mss_clamp),
            pin_dir: self.pin_dir.or(lower.pin_dir),
            admin: self.admin.or(lower.admin),
            log_format: self.log_format.or(lower.log_format),
            log_level: self.log_level.or(lower.log_level),
            flow_log: self.flow_log.or(lower.flow_log),
            ebpf_log: self.ebpf_log.or(lower.ebpf_log),
            drain_timeout: self.drain_timeout.or(lower.drain_timeout),
        }
    }
}

/// A value of the file as it is written; what it should have been is for its type to say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
}

impl Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

fn parsed<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    value(&Scalar::deserialize(deserializer)?).map(Some)
}

fn parsed_list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    Vec::<Scalar>::deserialize(deserializer)?.iter().map(value).collect()
}

fn value<T: FromStr<Err: Display>, E: de::Error>(scalar: &Scalar) -> Result<T, E> {
    let text = scalar.to_string();
    text.parse().map_err(|error| E::custom(format!("{text}: {error}")))
}
