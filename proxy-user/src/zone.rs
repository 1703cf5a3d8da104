//! The subnets that the appliance itself is in. A subnet is in one availability zone, so what is
//! in one of these is near, and bytes to it cost nothing.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
    sys::socket::SockaddrStorage,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone(Vec<IpNet>);

impl Zone {
    /// Of the host's interfaces, without loopback and link-local; empty where they cannot be read.
    pub fn of_host() -> Self {
        let near = getifaddrs().into_iter().flatten().filter_map(|entry| subnet(&entry));
        near.filter(|net| !is_link_local(net.addr())).collect()
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<IpNet> for Zone {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        Self(nets.into_iter().collect())
    }
}

fn subnet(entry: &InterfaceAddress) -> Option<IpNet> {
    if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
        return None;
    }
    IpNet::with_netmask(ip(entry.address.as_ref()?)?, ip(entry.netmask.as_ref()?)?).ok()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_near_in_a_subnet_of_the_same_family_and_nowhere_else() {
        let zone: Zone =
            ["10.0.21.7/24", "fd00:21::7/64"].map(|net| net.parse().unwrap()).into_iter().collect();
        for (address, near) in [
            ("10.0.21.200", true),
            ("10.0.22.7", false),
            ("fd00:21::1", true),
            ("fd00:22::1", false),
        ] {
            assert_eq!(zone.holds(address.parse().unwrap()), near, "{address}");
        }
    }

    #[test]
    fn loopback_is_no_zone() {
        assert!(!Zone::of_host().holds("127.0.0.1".parse().unwrap()));
    }
}
