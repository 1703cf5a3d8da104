//! Who has which address: as in a VPC, or on loopback with ports that need no privilege.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// The name that the agent keeps resolving.
pub const ENDPOINT: &str = "0123456789ABCDEF0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// What `--listen` is given.
    pub listen: SocketAddr,
    /// Where clients reach it.
    pub proxy: SocketAddr,
    /// Both families: where it listens, and what the zone says of the ENIs.
    pub dual_stack: bool,
    pub resolver: SocketAddr,
    /// The zone's own server, where another one stands in front of it.
    pub zone_server: SocketAddr,
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
    pub(crate) fn vpc(dual_stack: bool) -> Self {
        let listen =
            if dual_stack { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        Self {
            listen: SocketAddr::new(listen, 443),
            proxy: (PROXY, 443).into(),
            dual_stack,
            resolver: (RESOLVER, 53).into(),
            zone_server: (RESOLVER, 5353).into(),
            admin: (Ipv4Addr::LOCALHOST, 9090).into(),
            api_port: 443,
            prefix: [10, 0],
        }
    }

    /// Free ports of the moment, so that labs can run side by side.
    pub(crate) fn loopback() -> anyhow::Result<Self> {
        let [listen, resolver, zone_server, admin, api_port] = free_ports()?;
        let proxy = (Ipv4Addr::new(127, 0, 10, 10), listen).into();
        Ok(Self {
            listen: proxy,
            proxy,
            dual_stack: false,
            resolver: (Ipv4Addr::new(127, 0, 0, 2), resolver).into(),
            zone_server: (Ipv4Addr::new(127, 0, 0, 2), zone_server).into(),
            admin: (Ipv4Addr::LOCALHOST, admin).into(),
            api_port,
            prefix: [127, 0],
        })
    }
}

/// The same host's place in the IPv6 plan, with the same digits: 10.0.21.10 is fd00:0:0:21::10.
pub(crate) fn v6_of(address: Ipv4Addr) -> Ipv6Addr {
    let [_, _, subnet, host] = address.octets().map(same_digits);
    Ipv6Addr::new(0xfd00, 0, 0, subnet, 0, 0, 0, host)
}

fn same_digits(decimal: u8) -> u16 {
    let [hundreds, tens, ones] = [decimal / 100, decimal / 10 % 10, decimal % 10].map(u16::from);
    (hundreds << 8) | (tens << 4) | ones
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
    fn an_ipv6_address_has_the_digits_of_the_ipv4_one() {
        assert_eq!(v6_of(PROXY).to_string(), "fd00:0:0:10::10");
        assert_eq!(v6_of([10, 0, 203, 250].into()).to_string(), "fd00:0:0:203::250");
    }

    #[test]
    fn loopback_ports_differ_and_need_no_privilege() {
        let plan = Plan::loopback().expect("free ports");
        let ports = [plan.proxy.port(), plan.resolver.port(), plan.admin.port(), plan.api_port];
        let distinct: std::collections::BTreeSet<_> = ports.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(ports.into_iter().all(|port| port >= 1024));
    }
}
