//! Which names a client may ask for in its TLS handshake.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::config::{HostName, invalid::Invalid};

/// One name, or with `*.` in front every name of one label more (RFC 6125, section 6.4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SniPattern {
    Exact(HostName),
    /// What stands behind the star and its dot.
    Below(HostName),
}

impl FromStr for SniPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, pattern): (_, fn(HostName) -> Self) = match text.strip_prefix("*.") {
            Some(parent) => (parent, Self::Below),
            None => (text, Self::Exact),
        };
        if name.contains('*') {
            return Err(Invalid::new(
                "has a * that is not the whole first label; write for example *.example.com",
            ));
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err(Invalid::new(
                "is an IP address, which no client sends as a server name (RFC 6066, section 3); \
                 write a host name",
            ));
        }
        name.parse().map(pattern)
    }
}

impl fmt::Display for SniPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_star_in_front_of_one() {
        for (text, shown) in [
            ("API.Example.com", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("api.example.com.", "api.example.com"),
        ] {
            assert_eq!(text.parse::<SniPattern>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, right) in [
            ("*", "*.example.com"),
            ("a*.example.com", "*.example.com"),
            ("*.*.example.com", "*.example.com"),
            ("a.*.example.com", "*.example.com"),
            ("10.0.0.1", "write a host name"),
            ("::1", "write a host name"),
            ("*.", "give the cluster's"),
            ("a..b", "remove the dot"),
        ] {
            let refusal = text.parse::<SniPattern>().unwrap_err().to_string();
            assert!(refusal.contains(right), "{text}: {refusal}");
        }
    }
}
