//! The endpoint to forward to: a host name (RFC 1123) and a port.

use std::{fmt, net::IpAddr, num::NonZeroU16, str::FromStr};

use super::invalid::Invalid;

const HTTPS: NonZeroU16 = NonZeroU16::new(443).expect("443 is not zero");
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// In lower case, without the root's dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: HostName,
    pub port: NonZeroU16,
}

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(Invalid::new(
                "a host name is missing; give the cluster's, without https://",
            ));
        }
        if is_ip_literal(name) {
            return Err(Invalid::new(
                "is an IP address; a host name is needed, because the addresses behind it change",
            ));
        }
        if name.len() > MAX_NAME {
            return Err(Invalid::new(format!(
                "is {} characters long; a host name has at most {MAX_NAME}",
                name.len()
            )));
        }
        name.split('.').try_for_each(check_label)?;
        Ok(Self(name.to_ascii_lowercase()))
    }
}

/// Brackets, any colon or a numeric last label: no host name looks like that (RFC 3696, section 2).
fn is_ip_literal(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    name.parse::<IpAddr>().is_ok()
        || name.starts_with('[')
        || last.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_label(label: &str) -> Result<(), Invalid> {
    if label.is_empty() {
        return Err(Invalid::new("has an empty label; remove the dot too many"));
    }
    if label.len() > MAX_LABEL {
        return Err(Invalid::new(format!("label {label:?} is longer than {MAX_LABEL} characters")));
    }
    let strange = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-');
    if let Some(character) = strange {
        return Err(Invalid::new(format!(
            "{character:?} cannot stand in a host name; letters, digits, hyphens and dots can"
        )));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(Invalid::new(format!("label {label:?} must not begin or end with a hyphen")));
    }
    Ok(())
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains("://") || text.contains('/') {
            return Err(Invalid::new("is a URL; give its host name, and :PORT if it is not 443"));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !is_ip_literal(text)) else {
            return Ok(Self { host: text.parse()?, port: HTTPS });
        };
        if host.contains(':') {
            return Err(Invalid::new("has more than one colon; write HOST or HOST:PORT"));
        }
        let port = port
            .parse()
            .map_err(|_| Invalid::new(format!("port {port:?} is not a number from 1 to 65535")))?;
        Ok(Self { host: host.parse()?, port })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        text.parse::<Endpoint>().expect_err(text).to_string()
    }

    #[test]
    fn names_of_clusters_in_every_partition_are_taken() {
        for name in [
            "0123456789ABCDEF0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com",
            "0123456789abcdef.sk1.eks-cluster.eu-central-1.api.aws",
            "abc.yl4.cn-north-1.eks.amazonaws.com.cn",
            "localhost",
            "3com.example",
        ] {
            let endpoint: Endpoint = name.parse().expect(name);
            assert_eq!(endpoint.host.as_str(), name.to_ascii_lowercase());
            assert_eq!(endpoint.port.get(), 443);
        }
    }

    #[test]
    fn the_port_and_the_trailing_dot_are_optional() {
        let endpoint: Endpoint = "Api.Example.com.:8443".parse().unwrap();
        assert_eq!(endpoint.to_string(), "api.example.com:8443");
    }

    #[test]
    fn addresses_are_refused_with_the_reason() {
        for literal in ["10.0.0.1", "10.0.0.1:443", "::1", "[::1]:443", "fe80::1", "1.2.3.999"] {
            assert!(refusal(literal).contains("IP address"), "{literal}: {}", refusal(literal));
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (text, wrong) in [
            ("", "missing"),
            ("https://a.example", "URL"),
            ("a..example", "empty label"),
            ("-a.example", "hyphen"),
            ("under_score.example", "'_'"),
            ("a.example:0", "port \"0\""),
            ("a.example:65536", "port \"65536\""),
            ("a.example:", "port \"\""),
            ("a:b:443", "more than one colon"),
        ] {
            assert!(refusal(text).contains(wrong), "{text}: {}", refusal(text));
        }
        assert!(refusal(&"a".repeat(64)).contains("63"));
        assert!(refusal(&["abcdefg"; 32].join(".")).contains("253"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Endpoint>();
        }

        #[test]
        fn what_is_taken_survives_a_round_trip(
            name in "[a-zA-Z]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(\\.[a-zA-Z]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?){0,4}",
            port in 1..=u16::MAX,
        ) {
            let endpoint: Endpoint = format!("{name}:{port}").parse().unwrap();
            prop_assert_eq!(endpoint.port.get(), port);
            prop_assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
        }
    }
}
