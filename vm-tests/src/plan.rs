//! Who has which address: as in a VPC, or on loopback with ports that need no privilege.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// The name that the agent keeps resolving.
pub const ENDPOINT: &str = "0123456789ABCDEF0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// What `--listen` is given.
    pub listen: SocketAddr,
    /// Where clients reach it.
    pub proxy: SocketAddr,
    pub resolver: SocketAddr,
    pub admin: SocketAddr,
    /// The API servers' port.
    pub api_port: u16,
    /// First octets of the ENIs' addresses: 10.0 or 127.0.
    pub prefix: [u8; 2],
}

pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(10, 0, 10, 10);
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

impl Plan {
    pub(crate) fn vpc() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, 443).into(),
            proxy: (PROXY, 443).into(),
            resolver: (RESOLVER, 53).into(),
            admin: (Ipv4Addr::LOCALHOST, 9090).into(),
            api_port: 443,
            prefix: [10, 0],
        }
    }

    /// Free ports of the moment, so that labs can run side by side.
    pub(crate) fn loopback() -> anyhow::Result<Self> {
        let [listen, resolver, admin, api_port] = free_ports()?;
        let proxy = (Ipv4Addr::new(127, 0, 10, 10), listen).into();
        Ok(Self {
            listen: proxy,
            proxy,
            resolver: (Ipv4Addr::new(127, 0, 0, 2), resolver).into(),
            admin: (Ipv4Addr::LOCALHOST, admin).into(),
            api_port,
            prefix: [127, 0],
        })
    }
}

fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    // All are held until the last one is known: no port comes twice.
    let held = [(); N].map(|()| TcpListener::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener.and_then(|l| l.local_addr()).context("finding a free port")?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_ports_differ_and_need_no_privilege() {
        let plan = Plan::loopback().expect("free ports");
        let ports = [plan.proxy.port(), plan.resolver.port(), plan.admin.port(), plan.api_port];
        let distinct: std::collections::BTreeSet<_> = ports.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(ports.into_iter().all(|port| port >= 1024));
    }
}
