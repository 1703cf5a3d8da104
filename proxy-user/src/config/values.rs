//! The other values of the configuration, each refused as soon as it is read.

mod choices;
mod connection_limit;
mod handover_after;
mod log_filter;
mod mss_clamp;
mod sni_pattern;
mod source_range;
mod vpce_id;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::invalid::Invalid;
pub use choices::{
    DatapathChoice, FlowLogChoice, HealthKind, HookChoice, LogFormat, ProxyProtocol,
};
pub use connection_limit::ConnectionLimit;
pub use handover_after::HandoverAfter;
pub use log_filter::LogFilter;
pub use mss_clamp::MssClamp;
pub use sni_pattern::SniPattern;
pub use source_range::SourceRange;
pub use vpce_id::VpceId;

const DNS_PORT: u16 = 53;
/// IFNAMSIZ, less the closing zero.
const MAX_INTERFACE_NAME: usize = 15;
const MAX_CONNECTIONS: u32 = 1 << 24;

/// An address and a port that can be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress(SocketAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolverAddress(SocketAddr);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName(String);

/// Connections that the flow table has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize(u32);

/// How many probes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes(NonZeroU8);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir(PathBuf);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl BindAddress {
    pub const fn new(address: SocketAddr) -> Self {
        assert!(address.port() != 0);
        Self(address)
    }

    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl ResolverAddress {
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl InterfaceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TableSize {
    pub const DEFAULT: Self = Self(131_072);

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Probes {
    pub const ONE: Self = Self(NonZeroU8::MIN);
    pub const THREE: Self = Self(NonZeroU8::new(3).expect("3 is not zero"));

    pub const fn get(self) -> NonZeroU8 {
        self.0
    }
}

impl PinDir {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl StateDir {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for BindAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address: SocketAddr = text.parse().map_err(|_| {
            Invalid::new("is no IP:PORT; write for example 0.0.0.0:443 or [::]:443")
        })?;
        match address.port() {
            0 => Err(Invalid::new("port 0 cannot be served; give one from 1 to 65535")),
            _ => Ok(Self(address)),
        }
    }
}

impl FromStr for ResolverAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let with_port = text.parse::<SocketAddr>();
        let address = with_port
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)))
            .map_err(|_| Invalid::new("is no IP or IP:PORT; write for example 10.0.0.2"))?;
        match address.port() {
            0 => Err(Invalid::new("port 0 cannot be asked; leave it out for 53")),
            _ => Ok(Self(address)),
        }
    }
}

impl FromStr for InterfaceName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let strange = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > MAX_INTERFACE_NAME || text.contains(strange) {
            return Err(Invalid::new(format!(
                "is no interface name; it has 1 to {MAX_INTERFACE_NAME} characters, such as eth0"
            )));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for TableSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let connections = text.parse().ok().filter(|count| (1..=MAX_CONNECTIONS).contains(count));
        connections.map(Self).ok_or_else(|| {
            Invalid::new(format!("is no number of connections from 1 to {MAX_CONNECTIONS}"))
        })
    }
}

impl FromStr for Probes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("is no number of probes from 1 to 255"))
    }
}

impl FromStr for PinDir {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            return Err(Invalid::new("must be an absolute path on a BPF file system"));
        }
        Ok(Self(path))
    }
}

impl FromStr for StateDir {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            return Err(Invalid::new(
                "must be an absolute path; write for example /var/lib/enigate",
            ));
        }
        Ok(Self(path))
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PinDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl fmt::Display for TableSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn port_zero_is_refused() {
        assert!("0.0.0.0:0".parse::<BindAddress>().unwrap_err().to_string().contains("port 0"));
        assert!(
            "10.0.0.2:0".parse::<ResolverAddress>().unwrap_err().to_string().contains("port 0")
        );
    }

    #[test]
    fn a_resolver_listens_on_53_unless_told_otherwise() {
        for (text, address) in
            [("10.0.0.2", "10.0.0.2:53"), ("fd00::2", "[fd00::2]:53"), ("[::1]:5353", "[::1]:5353")]
        {
            assert_eq!(text.parse::<ResolverAddress>().unwrap().get().to_string(), address);
        }
    }

    #[test]
    fn bounds_are_kept() {
        for size in ["0", "16777217", "-1", "many", ""] {
            assert!(size.parse::<TableSize>().is_err(), "{size}");
        }
        for name in ["", "a/b", "a b", "sixteen-chars-xx"] {
            assert!(name.parse::<InterfaceName>().is_err(), "{name}");
        }
        for count in ["0", "256", "-1", "some", ""] {
            assert!(count.parse::<Probes>().is_err(), "{count}");
        }
        assert!("pins".parse::<PinDir>().is_err());
        assert!("state".parse::<StateDir>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<BindAddress>();
            let _ = text.parse::<ResolverAddress>();
            let _ = text.parse::<InterfaceName>();
            let _ = text.parse::<TableSize>();
            let _ = text.parse::<Probes>();
        }
    }
}
