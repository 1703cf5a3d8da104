//! What a lab can be like.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use nix::unistd::geteuid;

use crate::{network::Wires, service::Service, wire::Wire};

#[derive(Clone, Debug)]
pub struct Options {
    /// The `enigate` binary.
    pub agent: PathBuf,
    /// Beside those that the lab needs: endpoint, listener, resolver, admin, pins.
    pub agent_flags: Vec<String>,
    /// Text of a file for the agent, which then says which endpoints there are: the lab does not.
    pub agent_config: Option<String>,
    /// How many files the agent may open; as many as we may without.
    pub agent_files: Option<u64>,
    /// Of the endpoint's answers, in whole seconds.
    pub ttl: Duration,
    pub enis: usize,
    /// What listens on them.
    pub service: Service,
    /// The agent is told whom the API servers' certificates come from: `--ca`.
    pub with_authority: bool,
    /// Network namespaces and the packet path; else loopback and the relay.
    pub privileged: bool,
    /// AAAA records beside the A records, and a listener on `[::]`; IPv4 alone without.
    pub dual_stack: bool,
    /// The largest packets that reach the client, and the ENIs, where paths narrow on the way.
    pub path_mtu_to_client: Option<u32>,
    pub path_mtu_to_enis: Option<u32>,
    /// The resolver is unbound, which asks the lab's own.
    pub unbound: bool,
    /// The proxy's link is like a network card's, as XDP needs it.
    pub plain_frames: bool,
}

impl Options {
    /// Three ENIs and a TTL of 2 s; privileged where the user is root.
    pub fn new(agent: PathBuf) -> Self {
        Self {
            agent,
            agent_flags: Vec::new(),
            agent_config: None,
            agent_files: None,
            ttl: Duration::from_secs(2),
            enis: 3,
            service: Service::default(),
            with_authority: false,
            privileged: geteuid().is_root(),
            dual_stack: false,
            path_mtu_to_client: None,
            path_mtu_to_enis: None,
            unbound: false,
            plain_frames: false,
        }
    }

    pub(crate) fn wires(&self) -> Wires {
        let narrow = |path_mtu| Wire { path_mtu, ..Wire::default() };
        Wires {
            client: narrow(self.path_mtu_to_client),
            proxy: Wire { plain_frames: self.plain_frames, ..Wire::default() },
            enis: narrow(self.path_mtu_to_enis),
        }
    }

    /// Before anything is set up.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.enis > 0, "enis: 0: a lab needs at least one");
        if self.privileged {
            ensure!(
                geteuid().is_root(),
                "network namespaces need root: run as root, or without `privileged`"
            );
            return Ok(());
        }
        let narrow = self.path_mtu_to_client.is_some() || self.path_mtu_to_enis.is_some();
        ensure!(
            !(self.dual_stack || narrow || self.plain_frames),
            "dual_stack, path_mtu_to_…, plain_frames: loopback has neither links nor routes of              our own; set `privileged`"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loopback_cannot_do_is_refused() {
        let loopback = Options { privileged: false, ..Options::new("enigate".into()) };
        loopback.check().expect("as plain as it gets");
        let narrow = Options { path_mtu_to_enis: Some(1280), ..loopback.clone() };
        assert!(narrow.check().is_err());
        assert!(Options { dual_stack: true, ..loopback }.check().is_err());
    }
}
