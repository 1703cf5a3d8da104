//! What the program must know of the host: the interface, its addresses, and which source ports
//! the host's own sockets never use.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

use anyhow::{Context as _, bail, ensure};
use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};
use proxy_common::config::PortRange;

const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const FIRST_UNPRIVILEGED: u16 = 1024;
/// Fewer source ports than this serve nobody: each carries one connection to a backend.
const FEWEST_PORTS: u16 = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    /// Addresses that clients may connect to.
    pub addresses: Vec<IpAddr>,
}

impl Interface {
    /// With all the addresses that a socket on `listen` would take connections for.
    pub fn find(name: &str, listen: SocketAddr) -> anyhow::Result<Self> {
        let index = if_nametoindex(name)
            .with_context(|| format!("interface: {name}: there is no such interface"))?;
        let addresses: Vec<_> =
            addresses(name)?.into_iter().filter(|address| serves(listen.ip(), *address)).collect();
        ensure!(
            !addresses.is_empty(),
            "interface: {name}: it has no address for listen {listen}; \
             the packet path takes connections for the interface's own addresses"
        );
        Ok(Self { name: name.to_owned(), index, addresses })
    }
}

/// Link-local addresses are not reached through a load balancer.
fn serves(listen: IpAddr, address: IpAddr) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => !is_link_local,
        named => named == address,
    }
}

fn addresses(name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let all = getifaddrs().context("cannot list the addresses of the host")?;
    let of_interface = all.filter(|entry| entry.interface_name == name);
    Ok(of_interface
        .filter_map(|entry| {
            let address = entry.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .collect())
}

/// Source ports towards the backends, from outside the range that the kernel gives to sockets.
pub fn source_ports() -> anyhow::Result<PortRange> {
    let text = fs::read_to_string(EPHEMERAL).with_context(|| format!("cannot read {EPHEMERAL}"))?;
    let mut bounds = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else {
        bail!("{EPHEMERAL}: {text:?} is not two ports");
    };
    outside(low..=high).with_context(|| {
        format!(
            "net.ipv4.ip_local_port_range: {low} {high} leaves no {FEWEST_PORTS} ports in a row \
             above {FIRST_UNPRIVILEGED} for connections to backends; narrow it, \
             for example to 32768 60999"
        )
    })
}

/// The larger of the two ranges that are left over, if it is large enough.
fn outside(ephemeral: RangeInclusive<u16>) -> Option<PortRange> {
    let below = PortRange {
        first: FIRST_UNPRIVILEGED,
        len: ephemeral.start().saturating_sub(FIRST_UNPRIVILEGED),
    };
    let above =
        PortRange { first: ephemeral.end().saturating_add(1), len: u16::MAX - ephemeral.end() };
    let larger = if below.len >= above.len { below } else { above };
    (larger.len >= FEWEST_PORTS).then_some(larger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_common::addr::Port;

    #[test]
    fn the_kernels_default_leaves_the_ports_below_it() {
        assert_eq!(outside(32_768..=60_999), Some(PortRange { first: 1024, len: 31_744 }));
        assert_eq!(outside(1_024..=40_000), Some(PortRange { first: 40_001, len: 25_535 }));
        assert_eq!(outside(1_024..=65_535), None);
    }

    proptest! {
        #[test]
        fn no_port_that_the_kernel_gives_to_sockets_is_taken(one: u16, other: u16, n: u32) {
            let (low, high) = (one.min(other), one.max(other));
            if let Some(range) = outside(low..=high) {
                let port = range.nth(n).unwrap();
                prop_assert!(port.get() >= FIRST_UNPRIVILEGED);
                prop_assert!(!(low..=high).contains(&port.get()));
                prop_assert!(!range.contains(Port::new(low)));
            }
        }
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let listen = "0.0.0.0:443".parse().unwrap();
        let error = Interface::find("no-such-if0", listen).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-if0"), "{error:#}");
    }

    #[test]
    fn an_ipv6_wildcard_takes_both_families_but_no_link_local_address() {
        let rows = [
            ("0.0.0.0", "10.0.0.1", true),
            ("0.0.0.0", "fd00::1", false),
            ("::", "10.0.0.1", true),
            ("::", "fd00::1", true),
            ("::", "fe80::1", false),
            ("10.0.0.2", "10.0.0.1", false),
        ];
        for (listen, address, expected) in rows {
            let served = serves(listen.parse().unwrap(), address.parse().unwrap());
            assert_eq!(served, expected, "{listen} {address}");
        }
    }

    #[test]
    fn only_the_address_that_is_listened_on_is_taken() {
        let every = Interface::find("lo", "0.0.0.0:443".parse().unwrap()).unwrap();
        assert!(every.addresses.contains(&"127.0.0.1".parse().unwrap()));
        assert!(Interface::find("lo", "192.0.2.1:443".parse().unwrap()).is_err());
    }
}
