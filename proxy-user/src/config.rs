//! What the agent was told to do, validated as a whole. Flags beat environment beat file beat
//! default.

mod endpoint;
mod invalid;
mod life;
mod listening;
mod period;
mod probing;
mod route;
mod settings;
mod source_ports;
mod timeouts;
mod values;

use std::{
    collections::BTreeSet,
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
pub use listening::{ConnectionLimits, Legs, ListenerConfig};
pub use period::{Patience, Period};
pub use probing::{Authorities, Probing, Trust};
pub use route::Route;
pub use settings::Settings;
pub use source_ports::SourcePorts;
pub use timeouts::FlowTimeouts;
pub use values::{
    BindAddress, ConnectionLimit, DatapathChoice, FlowLogChoice, HandoverAfter, HealthKind,
    HookChoice, InterfaceName, LogFilter, LogFormat, MssClamp, PinDir, Probes, ProxyProtocol,
    SniPattern, SourceRange, StateDir, VpceId,
};

pub const DEFAULT_ADMIN: BindAddress =
    BindAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090));
const DEFAULT_LISTEN: BindAddress =
    BindAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 443));
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/enigate";
const DEFAULT_STATE_DIR: &str = "/var/lib/enigate";

#[derive(Clone, Debug)]
pub struct Config {
    /// At least one.
    pub routes: Vec<Route>,
    pub listener: ListenerConfig,
    pub datapath: DatapathChoice,
    pub packet: PacketConfig,
    pub handover_after: HandoverAfter,
    /// The host's own where empty.
    pub resolvers: Vec<SocketAddr>,
    pub ttl: TtlRange,
    pub state: StateConfig,
    pub health: HealthConfig,
    pub life: LifeConfig,
    pub admin: SocketAddr,
    pub log: LogConfig,
    pub drain: DrainConfig,
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

/// How a shutdown goes, from its start.
#[derive(Clone, Copy, Debug)]
pub struct DrainConfig {
    /// Until then new connections are still accepted.
    pub accept: Duration,
    /// Then what is left is reset.
    pub deadline: Duration,
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

impl fmt::Display for DrainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accept, deadline } = self;
        write!(
            f,
            "new connections for {accept:?} more, what is open then until {deadline:?} are over"
        )
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
        must_have_a_use(&settings, datapath)?;
        let config = Self {
            ttl: TtlRange::new(seconds(settings.min_ttl, 1), seconds(settings.max_ttl, 60))?,
            health: HealthConfig {
                probing: Probing::new(settings.health, settings.ca.as_deref())?,
                interval: seconds(settings.health_interval, 2).get(),
                timeout: seconds(settings.health_timeout, 1).get(),
                fall: settings.fall.unwrap_or(Probes::THREE).get(),
                rise: settings.rise.unwrap_or(Probes::ONE).get(),
            },
            life: LifeConfig::new(&settings),
            routes: route::routes(&settings)?,
            listener: ListenerConfig::new(&settings)?,
            datapath,
            handover_after: settings.handover_after.unwrap_or_default(),
            resolvers: settings.resolver.iter().map(|resolver| resolver.get()).collect(),
            admin: settings.admin.unwrap_or(DEFAULT_ADMIN).get(),
            drain: drain(&settings),
            log: log(&settings),
            state: state(settings.state_dir.as_ref()),
            packet: packet(settings)?,
        };
        match (datapath, config.needs_the_listener()) {
            (DatapathChoice::Packet, Some(what)) => {
                let wrong = format!("{what}; leave that out, or use --datapath auto");
                Err(Refusal::new("datapath", "packet", wrong))
            }
            (DatapathChoice::Handover, _) if config.routes.len() > 1 => {
                let wrong = "hands over connections of one cluster alone; leave out the other \
                             [[route]] tables, or use --datapath auto";
                Err(Refusal::new("datapath", "handover", wrong))
            }
            _ => Ok(config),
        }
    }

    /// Where this agent listens: for clients, and for its admin endpoint.
    pub fn listening(&self) -> BTreeSet<SocketAddr> {
        self.routes.iter().map(|route| route.listen).chain([self.admin]).collect()
    }

    /// Whether the listener's connections may come to be handed over, if this host can do that.
    pub fn may_hand_over(&self) -> bool {
        match self.datapath {
            DatapathChoice::Handover => true,
            DatapathChoice::Auto => self.needs_the_listener().is_some() && self.routes.len() == 1,
            DatapathChoice::Packet | DatapathChoice::Sockmap | DatapathChoice::Relay => false,
        }
    }

    /// What is asked for that the packet path cannot do: it knows packets, and neither what they
    /// say nor more than one cluster.
    pub fn needs_the_listener(&self) -> Option<&'static str> {
        if self.listener.proxy_protocol == ProxyProtocol::V2 {
            Some("--proxy-protocol v2 needs a listener that reads the header")
        } else if self.routes.len() > 1 {
            Some("several [[route]] tables need a listener that tells them apart")
        } else if self.routes.iter().any(|route| !route.server_names.is_empty()) {
            Some("--sni needs a listener that reads the ClientHello")
        } else if !self.listener.sources.is_empty() {
            Some("--allow-source needs a listener that looks at who connects")
        } else if self.listener.limits.per_source.is_some() {
            Some("--max-connections-per-source needs a listener that counts")
        } else {
            None
        }
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

fn drain(settings: &Settings) -> DrainConfig {
    let deadline = settings.drain_deadline.unwrap_or(Patience::seconds(300)).get();
    let accept = settings.drain_accept.unwrap_or(Patience::seconds(120)).get();
    DrainConfig { accept: accept.min(deadline), deadline }
}

/// What only the packet path does must not be asked of another, nor what only a handover does.
fn must_have_a_use(settings: &Settings, datapath: DatapathChoice) -> Result<(), Refusal> {
    if let (Some(after), DatapathChoice::Packet | DatapathChoice::Sockmap | DatapathChoice::Relay) =
        (settings.handover_after, datapath)
    {
        let wrong = format!(
            "belongs to the handover, and the data path is {datapath}; leave the one out or ask \
             for --datapath handover"
        );
        return Err(Refusal::new("handover-after", after, wrong));
    }
    if matches!(datapath, DatapathChoice::Auto | DatapathChoice::Packet) {
        return Ok(());
    }
    let wrong = format!(
        "belongs to the packet path, and the data path is {datapath}; leave the one out or ask \
         for --datapath packet"
    );
    let is_elsewhere = datapath != DatapathChoice::Handover;
    if let Some(hook) = settings.hook.filter(|hook| is_elsewhere && *hook != HookChoice::Auto) {
        return Err(Refusal::new("hook", hook, wrong));
    }
    match settings.mss_clamp.filter(|clamp| clamp.get().is_some()) {
        Some(clamp) => Err(Refusal::new("mss-clamp", clamp, wrong)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
