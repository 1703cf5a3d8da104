//! What the program must know of the host: the interface and its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use nix::{
    ifaddrs::getifaddrs,
    net::if_::{if_indextoname, if_nametoindex},
};

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

/// `None` if it is gone. That is where nix's `if_indextoname` gives an empty name.
pub fn name_of(ifindex: u32) -> Option<String> {
    let name = if_indextoname(ifindex).ok()?.into_string().ok()?;
    (!name.is_empty()).then_some(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_interface_is_named() {
        let listen = "0.0.0.0:443".parse().unwrap();
        let error = Interface::find("no-such-if0", listen).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-if0"), "{error:#}");
    }

    #[test]
    fn an_interface_that_is_gone_has_no_name() {
        assert_eq!(name_of(1).as_deref(), Some("lo"));
        assert_eq!(name_of(0), None);
        assert_eq!(name_of(u32::MAX >> 1), None);
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
