//! Which interface the packet path sits on.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
};

use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
};

use crate::config::{Config, InterfaceName, Refusal};

const ROUTES: &str = "/proc/self/net/route";

/// The named one, which must exist; else the one that holds the listen address, or, where that is
/// a wildcard, the one of the default route.
pub fn choose(named: Option<&InterfaceName>, listen: SocketAddr) -> Result<String, Refusal> {
    let name = match named {
        Some(name) => must_exist(name)?,
        None => default(listen)?,
    };
    let loopback = entries().any(|entry| {
        entry.interface_name == name && entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    if loopback {
        let wrong = "the packet path needs an interface that leads out of the host; \
                     use --datapath relay on loopback";
        return Err(Refusal::new("interface", name, wrong));
    }
    Ok(name)
}

/// One that is named must exist, whether the data path needs it or not.
pub fn must_be_there(config: &Config) -> Result<(), Refusal> {
    config.packet.interface.as_ref().map_or(Ok(()), |named| must_exist(named).map(drop))
}

fn must_exist(name: &InterfaceName) -> Result<String, Refusal> {
    let existing: BTreeSet<_> = entries().map(|entry| entry.interface_name).collect();
    if existing.contains(name.as_str()) {
        return Ok(name.as_str().to_owned());
    }
    let names = existing.into_iter().collect::<Vec<_>>().join(", ");
    let wrong = format!("there is no such interface; this host has {names}");
    Err(Refusal::new("interface", name.as_str(), wrong))
}

fn default(listen: SocketAddr) -> Result<String, Refusal> {
    let (found, lacking) = if listen.ip().is_unspecified() {
        let routes = fs::read_to_string(ROUTES).unwrap_or_default();
        (of_default_route(&routes), "there is no default route".to_owned())
    } else {
        (holder(listen.ip()), format!("no interface has the address {}", listen.ip()))
    };
    found.ok_or_else(|| {
        Refusal::new("interface", "(none)", format!("{lacking}; name one with --interface"))
    })
}

fn holder(wanted: IpAddr) -> Option<String> {
    let found = entries().find(|entry| address(entry) == Some(wanted))?;
    Some(found.interface_name)
}

/// Of all interfaces of this host.
pub fn addresses() -> BTreeSet<IpAddr> {
    entries().filter_map(|entry| address(&entry)).collect()
}

fn address(entry: &InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address?;
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn entries() -> impl Iterator<Item = InterfaceAddress> {
    getifaddrs().into_iter().flatten()
}

/// The table's columns: interface, destination, gateway, flags, counts, use, metric, mask.
fn of_default_route(table: &str) -> Option<String> {
    let defaults = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_default = columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000");
        let metric: u32 = columns.get(6)?.parse().ok()?;
        is_default.then(|| (metric, columns[0].to_owned()))
    });
    defaults.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth2\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
";

    #[test]
    fn the_default_route_of_the_lowest_metric_wins() {
        assert_eq!(of_default_route(TABLE).as_deref(), Some("eth0"));
        assert_eq!(of_default_route(""), None);
        assert_eq!(of_default_route("Iface\nshort line"), None);
    }

    #[test]
    fn an_unknown_interface_is_refused_with_those_that_exist() {
        let refusal = must_exist(&"no-such-if0".parse().unwrap()).unwrap_err().to_string();
        assert!(refusal.starts_with("interface: no-such-if0: "), "{refusal}");
        assert!(refusal.contains("lo"), "{refusal}");
    }

    #[test]
    fn loopback_is_found_and_refused() {
        let refusal = choose(None, "127.0.0.1:443".parse().unwrap()).unwrap_err().to_string();
        assert!(refusal.starts_with("interface: lo: "), "{refusal}");
        let nobody = choose(None, "192.0.2.77:443".parse().unwrap()).unwrap_err().to_string();
        assert!(nobody.contains("192.0.2.77"), "{nobody}");
    }
}
