//! What the agent was told to do, validated as a whole. Flags beat environment beat file beat
//! default.

mod endpoint;
mod invalid;
mod life;
mod period;
mod probing;
mod settings;
mod source_ports;
mod timeouts;
mod values;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU8,
    path::{Path, PathBuf},
    time::Duration,
};

use proxy_common::config::Events;
use thiserror::Error;

pub use endpoint::{Endpoint, HostName};
pub use invalid::Invalid;
pub use life::LifeConfig;
pub use period::{Patience, Period};
pub use probing::{Authorities, Probing, Trust};
pub use settings::Settings;
pub use source_ports::SourcePorts;
pub use timeouts::FlowTimeouts;
pub use values::{
    BindAddress, DatapathChoice, FlowLogChoice, HealthKind, HookChoice, InterfaceName, LogFilter,
    LogFormat, MssClamp, PinDir, Probes, ProxyProtocol, SniPattern, SourceRange, StateDir, VpceId,
};

pub const DEFAULT_ADMIN: BindAddress =
    BindAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090));
const DEFAULT_LISTEN: BindAddress =
    BindAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 443));
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/enigate";
const DEFAULT_STATE_DIR: &str = "/var/lib/enigate";

#[derive(Clone, Debug)]
pub struct Config {
    pub endpoint: Endpoint,
    pub listen: SocketAddr,
    pub datapath: DatapathChoice,
    pub packet: PacketConfig,
    /// The host's own where empty.
    pub resolvers: Vec<SocketAddr>,
    pub ttl: TtlRange,
    pub state: StateConfig,
    pub health: HealthConfig,
    pub life: LifeConfig,
    pub connect_timeout: Duration,
    pub admin: SocketAddr,
    pub log: LogConfig,
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct PacketConfig {
    pub hook: HookChoice,
    pub interface: Option<InterfaceName>,
    /// Connections that the flow table has room for.
    pub connections: u32,
    pub source_ports: SourcePorts,
    pub timeouts: FlowTimeouts,
    /// Over how long connections are reset that must end.
    pub reset_window: Duration,
    pub mss_clamp: MssClamp,
    pub pin_dir: PathBuf,
    /// What earlier agents left in the kernel is removed first.
    pub fresh: bool,
}

/// Where the last good answer is kept.
#[derive(Clone, Debug)]
pub struct StateConfig {
    pub folder: PathBuf,
    /// It was asked for; else it is the default.
    pub is_given: bool,
}

/// How long an answer may be trusted, whatever it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlRange {
    min: Duration,
    max: Duration,
}

#[derive(Clone, Debug)]
pub struct HealthConfig {
    pub probing: Probing,
    pub interval: Duration,
    pub timeout: Duration,
    pub fall: NonZeroU8,
    pub rise: NonZeroU8,
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: LogFilter,
    pub flows: Events,
    pub ebpf: bool,
}

/// What was refused: the field, its value, and why.
#[derive(Debug, Error)]
#[error("{field}: {value}: {wrong}")]
pub struct Refusal {
    pub field: &'static str,
    pub value: String,
    pub wrong: String,
}

impl Refusal {
    pub fn new(field: &'static str, value: impl fmt::Display, wrong: impl fmt::Display) -> Self {
        Self { field, value: value.to_string(), wrong: wrong.to_string() }
    }
}

impl TtlRange {
    pub fn clamp(self, ttl: Duration) -> Duration {
        ttl.clamp(self.min, self.max)
    }

    pub fn new(min: Period, max: Period) -> Result<Self, Refusal> {
        if min > max {
            let wrong = format!("is above --max-ttl {max}; lower the one or raise the other");
            return Err(Refusal::new("min-ttl", min, wrong));
        }
        Ok(Self { min: min.get(), max: max.get() })
    }
}

impl Config {
    /// Flags and environment over the file, if there is one.
    pub fn load(given: Settings, file: Option<&Path>) -> Result<Self, Refusal> {
        let Some(path) = file else { return Self::validate(given) };
        let lower =
            Settings::read(path).map_err(|wrong| Refusal::new("config", path.display(), wrong))?;
        Self::validate(given.over(lower))
    }

    fn validate(settings: Settings) -> Result<Self, Refusal> {
        let seconds = |given: Option<Period>, default| given.unwrap_or(Period::seconds(default));
        let datapath = settings.datapath.unwrap_or(DatapathChoice::Auto);
        hook_must_have_a_use(settings.hook, datapath)?;
        clamp_must_have_a_use(settings.mss_clamp, datapath)?;
        Ok(Self {
            ttl: TtlRange::new(seconds(settings.min_ttl, 1), seconds(settings.max_ttl, 60))?,
            health: HealthConfig {
                probing: Probing::new(settings.health, settings.ca.as_deref())?,
                interval: seconds(settings.health_interval, 2).get(),
                timeout: seconds(settings.health_timeout, 1).get(),
                fall: settings.fall.unwrap_or(Probes::THREE).get(),
                rise: settings.rise.unwrap_or(Probes::ONE).get(),
            },
            life: LifeConfig::new(&settings),
            endpoint: settings.endpoint.clone().ok_or_else(missing_endpoint)?,
            listen: settings.listen.unwrap_or(DEFAULT_LISTEN).get(),
            datapath,
            resolvers: settings.resolver.iter().map(|resolver| resolver.get()).collect(),
            connect_timeout: seconds(settings.connect_timeout, 3).get(),
            admin: settings.admin.unwrap_or(DEFAULT_ADMIN).get(),
            drain_timeout: settings.drain_timeout.unwrap_or(Patience::seconds(5)).get(),
            log: log(&settings),
            state: state(settings.state_dir.as_ref()),
            packet: packet(settings)?,
        })
    }
}

fn packet(settings: Settings) -> Result<PacketConfig, Refusal> {
    let timeouts =
        FlowTimeouts::new(settings.timeout_syn, settings.timeout_idle, settings.timeout_closing)?;
    let pin_dir = settings.pin_dir.map(|pins| pins.path().to_owned());
    Ok(PacketConfig {
        hook: settings.hook.unwrap_or(HookChoice::Auto),
        interface: settings.interface,
        connections: settings.table_size.unwrap_or(values::TableSize::DEFAULT).get(),
        source_ports: settings.source_ports.unwrap_or_default(),
        pin_dir: pin_dir.unwrap_or_else(|| DEFAULT_PIN_DIR.into()),
        timeouts,
        reset_window: settings.reset_window.unwrap_or(Patience::seconds(2)).get(),
        mss_clamp: settings.mss_clamp.unwrap_or_default(),
        fresh: false,
    })
}

fn state(given: Option<&StateDir>) -> StateConfig {
    let folder = given.map_or(Path::new(DEFAULT_STATE_DIR), StateDir::path).to_owned();
    StateConfig { folder, is_given: given.is_some() }
}

fn log(settings: &Settings) -> LogConfig {
    LogConfig {
        format: settings.log_format.unwrap_or(LogFormat::Text),
        filter: settings.log_level.clone().unwrap_or_default(),
        flows: settings.flow_log.unwrap_or(FlowLogChoice::Off).events(),
        ebpf: settings.ebpf_log.unwrap_or(false),
    }
}

fn hook_must_have_a_use(hook: Option<HookChoice>, datapath: DatapathChoice) -> Result<(), Refusal> {
    match (hook.filter(|hook| *hook != HookChoice::Auto), datapath) {
        (Some(hook), DatapathChoice::Relay) => {
            let wrong = "belongs to the packet path, and the data path is relay; leave the one \
                         out or ask for --datapath packet";
            Err(Refusal::new("hook", hook, wrong))
        }
        _ => Ok(()),
    }
}

fn clamp_must_have_a_use(clamp: Option<MssClamp>, datapath: DatapathChoice) -> Result<(), Refusal> {
    match (clamp.filter(|clamp| clamp.get().is_some()), datapath) {
        (Some(clamp), DatapathChoice::Relay) => {
            let wrong = "belongs to the packet path, and the data path is relay; leave the one \
                         out or ask for --datapath packet";
            Err(Refusal::new("mss-clamp", clamp, wrong))
        }
        _ => Ok(()),
    }
}

fn missing_endpoint() -> Refusal {
    let wrong = "the cluster's endpoint is needed; give --endpoint HOST, ENIGATE_ENDPOINT, or the \
                 key in the file of --config";
    Refusal::new("endpoint", "(none)", wrong)
}

#[cfg(test)]
mod tests;
