//! Who may stand between client and API servers, how each is set up, and how it is started.

mod enigate;
mod haproxy;
mod nftables;
mod nginx;

use std::{fmt, net::SocketAddr, path::Path, process::Stdio};

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::process::Command;

use super::{LAB, daemon::Daemon, site::Site, workload::Workload};
use crate::{
    agent::Agent,
    network::Wires,
    plan, state,
    wire::{Wire, sysctl},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// Nobody: the proxy host forwards, clients know the API servers' addresses
    Plain,
    /// DNAT and masquerade
    Nftables,
    Haproxy,
    Nginx,
    /// enigate, --datapath relay
    Relay,
    /// enigate, --datapath sockmap
    Sockmap,
    /// enigate, --datapath handover
    Handover,
    /// enigate, --datapath packet --hook tcx
    Tcx,
    /// enigate, --datapath packet --hook clsact
    Clsact,
    /// enigate, --datapath packet --hook xdp
    Xdp,
    /// enigate, --datapath packet --hook xdp-generic
    XdpGeneric,
}

/// A contender at work. Dropping it ends it.
pub(crate) enum Running {
    /// In the kernel alone.
    Kernel,
    Daemon(Box<Daemon>),
    Agent(Box<Agent>),
}

/// Terminating proxies need a port for each connection to an API server.
const MORE_PORTS: [(&str, &str); 1] = [("net/ipv4/ip_local_port_range", "1024 65535")];
/// One interface, in and out: without the last two the host would tell the router of a shorter way.
const FORWARD: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/eth0/send_redirects", "0"),
];

impl Contender {
    pub(crate) const ALL: [Self; 11] = [
        Self::Plain,
        Self::Nftables,
        Self::Haproxy,
        Self::Nginx,
        Self::Relay,
        Self::Sockmap,
        Self::Handover,
        Self::Tcx,
        Self::Clsact,
        Self::Xdp,
        Self::XdpGeneric,
    ];

    /// Why it cannot take part, and what to do about it.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Nftables => nftables::NEEDS.missing(),
            Self::Haproxy => haproxy::NEEDS.missing(),
            Self::Nginx => nginx::NEEDS.missing(),
            _ => None,
        }
    }

    /// What it says of itself.
    pub(crate) async fn version(self, agent: &Path) -> anyhow::Result<String> {
        let (program, flag) = match self {
            Self::Plain => return Ok("the kernel's forwarding".to_owned()),
            Self::Nftables => (nftables::NEEDS.program.as_ref(), "--version"),
            Self::Haproxy => (haproxy::NEEDS.program.as_ref(), "-v"),
            Self::Nginx => (nginx::NEEDS.program.as_ref(), "-v"),
            _ => (agent, "--version"),
        };
        let said = Command::new(program).arg(flag).stdin(Stdio::null()).output().await;
        let said = said.with_context(|| format!("asking {} for its version", program.display()))?;
        let said = [said.stdout, said.stderr].concat();
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
    }

    /// Why this event is none that it could do anything about.
    pub(crate) fn obstacle(self, event: Workload) -> Option<&'static str> {
        match (self, event) {
            (Self::Plain, _) => Some("nobody is in the way: clients have to notice by themselves"),
            (Self::Nftables, Workload::Rotation) => {
                Some("cannot: rules have addresses, and nothing resolves names")
            }
            (Self::Nginx, Workload::Rotation) => {
                Some("cannot: Debian's nginx resolves its servers once, when it starts")
            }
            _ => None,
        }
    }

    /// XDP in a driver sees frames as a network card has them, and no others: checksummed, and of
    /// one segment each.
    pub(crate) fn wires(self) -> Wires {
        let proxy = Wire { plain_frames: self == Self::Xdp, ..Wire::default() };
        Wires { proxy, ..Wires::default() }
    }

    /// Where clients connect to.
    pub(crate) fn targets(self, backends: &[SocketAddr]) -> Vec<SocketAddr> {
        match self {
            Self::Plain => backends.to_vec(),
            _ => vec![plan::Plan::vpc(false).proxy],
        }
    }

    /// All that is not the same for every contender, for the report.
    pub(crate) fn settings(self, backends: &[SocketAddr]) -> String {
        let mut text = match self {
            Self::Plain => String::new(),
            Self::Nftables => nftables::ruleset(backends),
            Self::Haproxy => haproxy::configuration(backends),
            Self::Nginx => nginx::configuration(backends, Path::new("/run")),
            _ => enigate::flags(self).join(" ") + "\n",
        };
        for (key, value) in self.sysctls() {
            text += &format!("sysctl {} = {value}\n", key.replace('/', "."));
        }
        text
    }

    /// Of the proxy host.
    fn sysctls(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain | Self::Nftables => &FORWARD,
            Self::Haproxy | Self::Nginx | Self::Relay | Self::Sockmap => &MORE_PORTS,
            // XDP asks the host for the way.
            Self::Xdp | Self::XdpGeneric => &FORWARD,
            // Its ports lie outside the host's own range.
            Self::Handover | Self::Tcx | Self::Clsact => &[],
        }
    }

    /// Started; whether it carries connections is for the caller to see.
    pub(crate) async fn start(self, site: &Site, agent: &Path) -> anyhow::Result<Running> {
        let sysctls = self.sysctls();
        let set = async { sysctls.iter().try_for_each(|(key, value)| sysctl(key, value)) };
        site.proxy().run(set).await?;
        let started = match self {
            Self::Plain => Ok(Running::Kernel),
            Self::Nftables => nftables::start(site).await.map(|()| Running::Kernel),
            Self::Haproxy => {
                haproxy::start(site).await.map(|daemon| Running::Daemon(daemon.into()))
            }
            Self::Nginx => nginx::start(site).await.map(|daemon| Running::Daemon(daemon.into())),
            _ => enigate::start(self, site, agent).await.map(|agent| Running::Agent(agent.into())),
        };
        started.with_context(|| format!("starting {self}"))
    }
}

/// Connections that the agent has accepted, and of those the ones that it has handed over.
#[derive(Clone, Copy)]
pub(crate) struct Handovers {
    accepted: u64,
    handed_over: u64,
}

impl Handovers {
    pub(crate) fn share_since(self, earlier: Self) -> f64 {
        let accepted = self.accepted.saturating_sub(earlier.accepted).max(1);
        self.handed_over.saturating_sub(earlier.handed_over) as f64 / accepted as f64
    }
}

impl Running {
    /// Do its connections have a table in the kernel that is there from the beginning?
    pub(crate) fn has_tables(&self) -> bool {
        matches!(self, Self::Agent(_)) && state::pins(LAB).is_dir()
    }

    /// `None` of those that hand nothing over.
    pub(crate) async fn handovers(&self) -> anyhow::Result<Option<Handovers>> {
        let Self::Agent(agent) = self else { return Ok(None) };
        let status = agent.status().await?;
        let handed_over = status.datapath.handover.map(|handover| handover.handed_over);
        let accepted = status.listener.accepted;
        Ok(handed_over.map(|handed_over| Handovers { accepted, handed_over }))
    }

    /// The process group that does the work, where there is one.
    pub(crate) fn group(&self) -> Option<u32> {
        match self {
            Self::Kernel => None,
            Self::Daemon(daemon) => Some(daemon.group()),
            Self::Agent(agent) => agent.id(),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Nftables => "nftables",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Relay => "relay",
            Self::Sockmap => "sockmap",
            Self::Handover => "handover",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_is_asked_for_by_the_name_in_the_report() {
        for contender in Contender::ALL {
            let named = Contender::from_str(&contender.to_string(), false);
            assert_eq!(named.expect("its name"), contender);
        }
    }

    #[test]
    fn the_settings_name_every_backend_of_who_chooses_one() {
        let backends: Vec<SocketAddr> =
            ["10.0.21.10:443", "10.0.22.10:443"].map(|a| a.parse().expect("an address")).into();
        for contender in [Contender::Nftables, Contender::Nginx] {
            let text = contender.settings(&backends);
            assert!(text.contains("10.0.21.10") && text.contains("10.0.22.10"), "{text}");
        }
    }
}
