//! The last good answer as it lies on disk: one JSON document. Pure; what it says is believed only
//! as far as it can be checked, and its addresses are probed like any others.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use jiff::Timestamp;
use proxy_common::backend::MAX_BACKENDS;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::HostName;

const VERSION: u32 = 1;
/// Of a document, in bytes: many times what the most addresses take.
pub const MAX_SIZE: u64 = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub addresses: BTreeSet<IpAddr>,
    /// When the resolver answered so, for the last time that is known.
    pub written_at: Timestamp,
}

#[derive(Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is a symbolic link")]
    SymbolicLink,
    #[error("it is no plain file")]
    NoFile,
    #[error("everybody may write to it")]
    WritableByAll,
    #[error("it is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("it is no answer of an enigate agent: {0}")]
    Garbage(String),
    #[error("its version is {0}, and this agent reads version {VERSION}")]
    OtherVersion(u32),
    #[error("it is about {0}")]
    OtherEndpoint(String),
    #[error("it has no address")]
    Empty,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    endpoint: String,
    addresses: BTreeSet<IpAddr>,
    written_at: Timestamp,
}

impl Saved {
    /// At most as many addresses as are served, the first by their order.
    pub fn encode(&self, endpoint: &HostName) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(&Document {
            version: VERSION,
            endpoint: endpoint.as_str().to_owned(),
            addresses: self.addresses.iter().copied().take(MAX_BACKENDS).collect(),
            written_at: self.written_at,
        })
    }

    pub fn decode(bytes: &[u8], endpoint: &HostName) -> Result<Self, Unusable> {
        let garbage = |error: serde_json::Error| Unusable::Garbage(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(garbage)?;
        if version != VERSION {
            return Err(Unusable::OtherVersion(version));
        }
        let document: Document = serde_json::from_slice(bytes).map_err(garbage)?;
        if document.endpoint != endpoint.as_str() {
            return Err(Unusable::OtherEndpoint(document.endpoint));
        }
        if document.addresses.is_empty() {
            return Err(Unusable::Empty);
        }
        Ok(Self { addresses: document.addresses, written_at: document.written_at })
    }

    /// In whole seconds; nothing where the clock was put back.
    pub fn age(&self, now: Timestamp) -> Duration {
        let seconds = now.duration_since(self.written_at).as_secs();
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host() -> HostName {
        "api.example".parse().unwrap()
    }

    fn saved(addresses: BTreeSet<IpAddr>, second: i64) -> Saved {
        Saved { addresses, written_at: Timestamp::from_second(second).unwrap() }
    }

    fn text(version: u32, endpoint: &str, addresses: &str) -> String {
        format!(
            "{{\"version\":{version},\"endpoint\":\"{endpoint}\",\"addresses\":[{addresses}],\
             \"written_at\":\"2026-01-02T03:04:05Z\"}}"
        )
    }

    fn refused(text: &str) -> Unusable {
        Saved::decode(text.as_bytes(), &host()).expect_err(text)
    }

    #[test]
    fn what_is_not_ours_is_refused_with_the_reason() {
        Saved::decode(text(1, "api.example", "\"10.0.0.1\"").as_bytes(), &host()).unwrap();
        assert_eq!(refused(&text(2, "api.example", "7")), Unusable::OtherVersion(2));
        let other = refused(&text(1, "other.example", "\"10.0.0.1\""));
        assert_eq!(other, Unusable::OtherEndpoint("other.example".into()));
        assert_eq!(refused(&text(1, "api.example", "")), Unusable::Empty);
        for garbage in ["", "null", "[1]", "{\"version\":1}", "{\"version\":-1}", "\0\0\0"] {
            assert!(matches!(refused(garbage), Unusable::Garbage(_)), "{garbage}");
        }
        let no_address = refused(&text(1, "api.example", "\"10.0.0\""));
        assert!(matches!(no_address, Unusable::Garbage(_)), "{no_address}");
    }

    #[test]
    fn of_more_addresses_than_are_served_the_first_are_written() {
        let all: BTreeSet<IpAddr> = (0..100).map(|last| [10, 0, 0, last].into()).collect();
        let bytes = saved(all.clone(), 0).encode(&host()).unwrap();
        let read = Saved::decode(&bytes, &host()).unwrap();
        assert!(read.addresses.iter().eq(all.iter().take(MAX_BACKENDS)));
    }

    #[test]
    fn a_clock_that_was_put_back_makes_no_age() {
        let saved = saved(BTreeSet::new(), 1_000);
        let at = |second| saved.age(Timestamp::from_second(second).unwrap()).as_secs();
        assert_eq!((at(1_060), at(1_000), at(10)), (60, 0, 0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            addresses in prop::collection::btree_set(any::<IpAddr>(), 1..=MAX_BACKENDS),
            second in 0..4_000_000_000i64,
        ) {
            let written = saved(addresses, second);
            let bytes = written.encode(&host()).unwrap();
            prop_assert!(bytes.len() as u64 <= MAX_SIZE);
            prop_assert_eq!(Saved::decode(&bytes, &host()), Ok(written));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Saved::decode(&bytes, &host());
        }

        #[test]
        fn no_byte_of_a_document_that_turned_into_another_panics(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = text(1, "api.example", "\"10.0.0.1\",\"fd00::1\"").into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Saved::decode(&bytes, &host());
        }
    }
}
