//! What the resolver's two replies, for A and for AAAA, say together: pure.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub addresses: BTreeSet<IpAddr>,
    /// The shortest of its records.
    pub ttl: Duration,
}

/// The reply to one of the two questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Addresses(Answer),
    /// The name exists, without an address of this family.
    Nothing,
    NoSuchName,
    Failed(String),
}

/// Never an empty set of backends: what has no address is a failure, and the last good answer
/// stays.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    #[error("the name does not exist (NXDOMAIN)")]
    NoSuchName,
    #[error("the name has no address")]
    Empty,
    #[error("{0}")]
    Failed(String),
}

/// A family whose question failed keeps the addresses that it had: half an answer takes no backend
/// away.
pub fn merge(v4: Reply, v6: Reply, last: Option<&Answer>) -> Result<Answer, LookupError> {
    let kept = |is_v4: bool| {
        let addresses = last.into_iter().flat_map(|answer| answer.addresses.iter().copied());
        addresses.filter(move |address| address.is_ipv4() == is_v4)
    };
    match (v4, v6) {
        (Reply::Addresses(v4), Reply::Addresses(v6)) => Ok(Answer {
            addresses: v4.addresses.into_iter().chain(v6.addresses).collect(),
            ttl: v4.ttl.min(v6.ttl),
        }),
        (Reply::Addresses(mut answer), Reply::Failed(_)) => {
            answer.addresses.extend(kept(false));
            Ok(answer)
        }
        (Reply::Failed(_), Reply::Addresses(mut answer)) => {
            answer.addresses.extend(kept(true));
            Ok(answer)
        }
        (Reply::Addresses(answer), _) | (_, Reply::Addresses(answer)) => Ok(answer),
        (Reply::Failed(error), _) | (_, Reply::Failed(error)) => Err(LookupError::Failed(error)),
        (Reply::NoSuchName, _) | (_, Reply::NoSuchName) => Err(LookupError::NoSuchName),
        (Reply::Nothing, Reply::Nothing) => Err(LookupError::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(addresses: &[&str], ttl: u64) -> Answer {
        Answer {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ttl: Duration::from_secs(ttl),
        }
    }

    fn v4() -> Reply {
        Reply::Addresses(answer(&["10.0.2.9", "10.0.1.9", "10.0.1.9"], 60))
    }

    fn failed() -> Reply {
        Reply::Failed("SERVFAIL".into())
    }

    #[test]
    fn both_families_make_one_answer_in_order_that_lasts_as_long_as_the_shorter() {
        let both = merge(v4(), Reply::Addresses(answer(&["fd00::1"], 20)), None).unwrap();
        assert_eq!(both, answer(&["10.0.1.9", "10.0.2.9", "fd00::1"], 20));
        assert_eq!(
            both.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()[0],
            "10.0.1.9"
        );
    }

    #[test]
    fn one_family_alone_is_an_answer() {
        for nothing in [Reply::Nothing, Reply::NoSuchName, failed()] {
            assert_eq!(merge(v4(), nothing, None).unwrap(), answer(&["10.0.1.9", "10.0.2.9"], 60));
        }
    }

    #[test]
    fn a_family_that_failed_keeps_what_it_had_and_one_that_says_nothing_loses_it() {
        let last = answer(&["10.9.9.9", "fd00::1"], 60);
        let half = merge(v4(), failed(), Some(&last)).unwrap();
        assert_eq!(half, answer(&["10.0.1.9", "10.0.2.9", "fd00::1"], 60));
        let whole = merge(v4(), Reply::Nothing, Some(&last)).unwrap();
        assert_eq!(whole, answer(&["10.0.1.9", "10.0.2.9"], 60));
    }

    #[test]
    fn no_address_is_a_failure() {
        let last = answer(&["10.9.9.9"], 60);
        for (v4, v6, error) in [
            (Reply::Nothing, Reply::Nothing, LookupError::Empty),
            (Reply::NoSuchName, Reply::NoSuchName, LookupError::NoSuchName),
            (failed(), Reply::Nothing, LookupError::Failed("SERVFAIL".into())),
            (Reply::NoSuchName, failed(), LookupError::Failed("SERVFAIL".into())),
        ] {
            assert_eq!(merge(v4, v6, Some(&last)), Err(error));
        }
    }
}
