//! What the listener asks of connections, and how much it gives them.

use std::time::Duration;

use super::{
    Refusal,
    period::Period,
    settings::Settings,
    values::{ConnectionLimit, ProxyProtocol, SourceRange},
};

/// Security groups and NLBs forget a connection that is idle for longer (ELB guide, connection idle
/// timeout).
const FORGOTTEN_AFTER: Duration = Duration::from_secs(350);

#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub proxy_protocol: ProxyProtocol,
    /// For all that a client must say before a backend is chosen.
    pub header_timeout: Duration,
    /// Whose connections are accepted; everybody's where empty.
    pub sources: Vec<SourceRange>,
    pub limits: ConnectionLimits,
    pub connect_timeout: Duration,
    pub legs: Legs,
    /// Once one way has ended, the other must move something within this.
    pub half_closed: Duration,
}

/// Of connections that the listener carries at once; `None`: as many as come, or, of all, as many as
/// the limit of open files has room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionLimits {
    pub total: Option<ConnectionLimit>,
    pub per_source: Option<ConnectionLimit>,
    pub per_vpce: Option<ConnectionLimit>,
}

/// How both legs of a connection find out that their peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legs {
    /// Silence before the first keepalive, in whole seconds.
    pub keepalive: Duration,
    /// How long what was sent may stay without an acknowledgement (RFC 5482), or a reader keep its
    /// window shut (tcp(7)): somebody may have paused what they look at.
    pub user_timeout: Duration,
}

impl Default for Legs {
    fn default() -> Self {
        Self { keepalive: Duration::from_secs(60), user_timeout: Duration::from_secs(300) }
    }
}

impl ListenerConfig {
    pub(super) fn new(settings: &Settings) -> Result<Self, Refusal> {
        let seconds = |given: Option<Period>, default| given.unwrap_or(Period::seconds(default));
        Ok(Self {
            proxy_protocol: settings.proxy_protocol.unwrap_or(ProxyProtocol::Off),
            header_timeout: seconds(settings.header_timeout, 10).get(),
            sources: settings.allow_source.clone(),
            limits: limits(settings)?,
            connect_timeout: seconds(settings.connect_timeout, 3).get(),
            legs: legs(settings)?,
            half_closed: seconds(settings.half_close_timeout, 60).get(),
        })
    }
}

fn limits(settings: &Settings) -> Result<ConnectionLimits, Refusal> {
    if let (Some(limit), None | Some(ProxyProtocol::Off)) =
        (settings.max_connections_per_vpce, settings.proxy_protocol)
    {
        let wrong = "without --proxy-protocol v2 no VPC endpoint is known; give both or neither";
        return Err(Refusal::new("max-connections-per-vpce", limit, wrong));
    }
    Ok(ConnectionLimits {
        total: settings.max_connections,
        per_source: settings.max_connections_per_source,
        per_vpce: settings.max_connections_per_vpce,
    })
}

fn legs(settings: &Settings) -> Result<Legs, Refusal> {
    let default = Legs::default();
    Ok(Legs {
        keepalive: settings.keepalive.map_or(Ok(default.keepalive), keepalive)?,
        user_timeout: settings.user_timeout.map_or(default.user_timeout, Period::get),
    })
}

fn keepalive(idle: Period) -> Result<Duration, Refusal> {
    let (least, most) = (Duration::from_secs(1), FORGOTTEN_AFTER);
    if (least..most).contains(&idle.get()) {
        return Ok(idle.get());
    }
    let wrong = "must be 1s or longer, and shorter than the 350s after which NLBs and security \
                 groups forget an idle connection";
    Err(Refusal::new("keepalive", idle, wrong))
}
