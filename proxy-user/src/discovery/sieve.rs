//! Addresses that no control plane has: whoever answers with one would turn the appliance's clients
//! against the appliance itself, or against its neighbours.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Of many refused addresses, as many are named.
const NAMED: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Broadcast,
    /// An AAAA record with an IPv4 address inside (RFC 4291, section 2.5.5.2). That is for sockets;
    /// in DNS such an address belongs into an A record.
    Ipv4Mapped,
    LinkLocal,
    Loopback,
    Multicast,
    /// The appliance would forward to itself.
    Own,
    Unspecified,
}

pub type Refused = BTreeMap<IpAddr, Reason>;

#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    listen: IpAddr,
    /// What the interfaces of this host have at the moment.
    own: fn() -> BTreeSet<IpAddr>,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Ipv4Mapped => "ipv4_mapped",
            Self::LinkLocal => "link_local",
            Self::Loopback => "loopback",
            Self::Multicast => "multicast",
            Self::Own => "own",
            Self::Unspecified => "unspecified",
        }
    }
}

impl Sieve {
    pub fn new(listen: SocketAddr, own: fn() -> BTreeSet<IpAddr>) -> Self {
        Self { listen: listen.ip(), own }
    }

    /// Those that may serve, and those that are refused.
    pub fn sift(&self, addresses: &BTreeSet<IpAddr>) -> (BTreeSet<IpAddr>, Refused) {
        let own = self.own();
        let refused: Refused = addresses
            .iter()
            .filter_map(|address| Some((*address, self.refuse(*address, &own)?)))
            .collect();
        let kept = addresses.iter().copied().filter(|address| !refused.contains_key(address));
        (kept.collect(), refused)
    }

    /// Who listens on loopback serves this host alone: there, loopback leads nobody astray.
    fn serves_this_host_alone(&self) -> bool {
        self.listen.is_loopback()
    }

    fn own(&self) -> BTreeSet<IpAddr> {
        let mut own = (self.own)();
        own.retain(|address| !address.is_loopback());
        own.insert(self.listen);
        own
    }

    fn refuse(&self, address: IpAddr, own: &BTreeSet<IpAddr>) -> Option<Reason> {
        let found = match address {
            IpAddr::V4(v4) if v4.is_broadcast() => Reason::Broadcast,
            IpAddr::V4(v4) if v4.is_link_local() => Reason::LinkLocal,
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Reason::Ipv4Mapped,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Reason::LinkLocal,
            _ if address.is_unspecified() => Reason::Unspecified,
            _ if address.is_multicast() => Reason::Multicast,
            _ if own.contains(&address) => Reason::Own,
            _ if address.is_loopback() && !self.serves_this_host_alone() => Reason::Loopback,
            _ => return None,
        };
        Some(found)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub fn listed(refused: &Refused) -> String {
    let named = refused.iter().take(NAMED).map(|(address, reason)| format!("{address} ({reason})"));
    let named = named.collect::<Vec<_>>().join(" ");
    match refused.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BTreeSet<IpAddr> {
        ["127.0.0.1", "10.0.10.10", "::1", "fd00::10"].map(|own| own.parse().unwrap()).into()
    }

    fn refused_by(listen: &str, address: &str) -> Option<Reason> {
        let address: IpAddr = address.parse().unwrap();
        let sieve = Sieve::new(listen.parse().unwrap(), own);
        let (kept, refused) = sieve.sift(&BTreeSet::from([address]));
        assert_eq!(kept.len() + refused.len(), 1, "either kept or refused");
        refused.get(&address).copied()
    }

    #[test]
    fn what_no_eni_can_have_is_refused_by_its_reason() {
        for (address, reason) in [
            ("127.0.0.1", Reason::Loopback),
            ("127.200.3.4", Reason::Loopback),
            ("::1", Reason::Loopback),
            ("169.254.169.254", Reason::LinkLocal),
            ("fe80::1", Reason::LinkLocal),
            ("224.0.0.1", Reason::Multicast),
            ("ff02::1", Reason::Multicast),
            ("0.0.0.0", Reason::Unspecified),
            ("::", Reason::Unspecified),
            ("255.255.255.255", Reason::Broadcast),
            ("::ffff:10.0.21.10", Reason::Ipv4Mapped),
            ("10.0.10.10", Reason::Own),
            ("fd00::10", Reason::Own),
        ] {
            assert_eq!(refused_by("0.0.0.0:443", address), Some(reason), "{address}");
        }
        for address in ["10.0.21.10", "192.0.2.1", "100.64.0.1", "fd00::21", "2001:db8::1"] {
            assert_eq!(refused_by("0.0.0.0:443", address), None, "{address}");
        }
    }

    #[test]
    fn loopback_may_serve_who_listens_on_loopback_but_never_the_listener_itself() {
        assert_eq!(refused_by("127.0.10.10:443", "127.0.21.10"), None);
        assert_eq!(refused_by("127.0.10.10:443", "127.0.10.10"), Some(Reason::Own));
        assert_eq!(refused_by("127.0.10.10:443", "10.0.10.10"), Some(Reason::Own));
        assert_eq!(refused_by("192.0.2.7:443", "192.0.2.7"), Some(Reason::Own));
    }

    #[test]
    fn of_many_refused_addresses_some_are_named() {
        let refused = (1..=7).map(|last| (IpAddr::from([127, 0, 0, last]), Reason::Loopback));
        let text = listed(&refused.collect());
        assert!(text.starts_with("127.0.0.1 (loopback) 127.0.0.2 (loopback) "), "{text}");
        assert!(text.ends_with("127.0.0.5 (loopback) and 2 more"), "{text}");
    }
}
