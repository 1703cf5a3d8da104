//! Addresses from which clients may come.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::config::invalid::Invalid;

/// A network, or one address as a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceRange(IpNet);

impl SourceRange {
    /// An IPv4 address that came inside an IPv6 one is the IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for SourceRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| {
            Invalid::new("is no CIDR and no address; write for example 10.0.0.0/8 or fd00::/8")
        })?;
        match network.trunc() {
            first if first == network => Ok(Self(network)),
            first => {
                Err(Invalid::new(format!("has bits set behind its prefix; did you mean {first}?")))
            }
        }
    }
}

impl fmt::Display for SourceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> SourceRange {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_address_is_a_network_of_its_own() {
        assert_eq!(range("10.0.0.1").to_string(), "10.0.0.1/32");
        assert_eq!(range("fd00::1").to_string(), "fd00::1/128");
    }

    #[test]
    fn a_range_holds_its_own_family_and_ipv4_inside_ipv6() {
        for (address, is_inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("fd00::a00:1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(range("10.0.0.0/8").contains(address), is_inside, "{address}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, right) in
            [("10.0.0.1/8", "10.0.0.0/8"), ("10.0.0.0/33", "10.0.0.0/8"), ("", "10.0.0.0/8")]
        {
            let refusal = text.parse::<SourceRange>().unwrap_err().to_string();
            assert!(refusal.contains(right), "{text}: {refusal}");
        }
    }
}
