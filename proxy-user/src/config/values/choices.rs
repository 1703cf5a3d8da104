//! One of a few words.

use std::fmt;

use clap::ValueEnum;
use proxy_common::config::Events;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatapathChoice {
    /// `packet` where this host can carry it, or `handover` where a listener must look at
    /// connections first; else `relay`
    Auto,
    /// eBPF forwards each packet; needs root
    Packet,
    /// Accepted by the agent, then forwarded by eBPF; needs root
    Handover,
    /// Sockets joined in the kernel; needs root, and a self-test that passes here
    Sockmap,
    /// The agent copies bytes; needs no privileges
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookChoice {
    /// TCX where the kernel has it, else clsact
    Auto,
    /// Linux 6.6 or newer
    Tcx,
    /// Any supported kernel
    Clsact,
    /// In the driver, in front of TC; TC alone, with a warning, where that cannot be had
    Xdp,
    /// The kernel's emulation of XDP, in front of TC
    XdpGeneric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthKind {
    /// A backend passes when it accepts a connection
    Tcp,
    /// When it completes a TLS handshake for the endpoint's name
    Tls,
    /// When it answers `GET /readyz` over TLS with 200, 401, 403 or 429
    Https,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowLogChoice {
    Off,
    /// One line for each connection, when it has ended
    Closed,
    /// And one when it is opened
    All,
}

/// What goes before a client's own bytes, written by the load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    Off,
    /// Every connection begins with a header of version 2, or is refused
    V2,
}

impl FlowLogChoice {
    pub const fn events(self) -> Events {
        match self {
            Self::Off => Events::None,
            Self::Closed => Events::Closed,
            Self::All => Events::All,
        }
    }
}

fn name(choice: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = choice.to_possible_value();
    f.write_str(value.as_ref().map_or("?", |value| value.get_name()))
}

impl fmt::Display for HookChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(self, f)
    }
}

impl fmt::Display for DatapathChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(self, f)
    }
}
