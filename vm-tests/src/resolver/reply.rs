//! The answer to one question, true or as the zone wants it to lie: pure.

use std::{net::IpAddr, time::Duration};

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record, RecordType, rdata::CNAME},
};

use crate::zone::{Lie, Zone};

const DAY: Duration = Duration::from_secs(86_400);
const ALIASES: usize = 3;
/// Of an alias: its number and the name follow.
const ALIAS: &str = "alias-";

pub(crate) struct Reply {
    pub code: ResponseCode,
    pub truncated: bool,
    pub records: Vec<Record>,
}

impl Reply {
    pub(crate) fn of(code: ResponseCode) -> Self {
        Self { code, truncated: false, records: Vec::new() }
    }
}

/// `None` is silence.
pub(crate) fn reply(zone: &Zone, name: &Name, kind: RecordType, over_udp: bool) -> Option<Reply> {
    let text = name.to_ascii();
    let truth = zone.answer(aliased(&text).unwrap_or(&text));
    match zone.present_lie() {
        Some(Lie::Silence) => return None,
        Some(Lie::ServFail) => return Some(Reply::of(ResponseCode::ServFail)),
        Some(Lie::NxDomain) => return Some(Reply::of(ResponseCode::NXDomain)),
        Some(Lie::Empty) => return Some(Reply::of(ResponseCode::NoError)),
        Some(Lie::Truncated) if over_udp => {
            return Some(Reply { truncated: true, ..Reply::of(ResponseCode::NoError) });
        }
        _ => {}
    }
    let Some((addresses, ttl)) = truth else { return Some(Reply::of(ResponseCode::NXDomain)) };
    let records = match zone.present_lie() {
        Some(Lie::Chain) if aliased(&text).is_none() => chain(name, &text, addresses, ttl, kind),
        Some(Lie::Subset) => hosts(name, some(addresses), ttl, kind),
        _ => hosts(name, addresses, ttl, kind),
    };
    Some(Reply { records, ..Reply::of(ResponseCode::NoError) })
}

fn hosts(name: &Name, addresses: Vec<IpAddr>, ttl: Duration, kind: RecordType) -> Vec<Record> {
    let data = addresses.into_iter().map(record_data).filter(|data| data.record_type() == kind);
    data.map(|data| record(name, ttl, data)).collect()
}

/// The name, its aliases one after the other, and what the last one has.
fn chain(
    name: &Name,
    text: &str,
    addresses: Vec<IpAddr>,
    ttl: Duration,
    kind: RecordType,
) -> Vec<Record> {
    let alias = |number| Name::from_ascii(format!("{ALIAS}{number}.{text}")).ok();
    let aliases: Vec<_> = (1..=ALIASES).filter_map(alias).collect();
    let owners = [name].into_iter().chain(&aliases);
    let mut records: Vec<_> = owners
        .zip(&aliases)
        .map(|(owner, target)| record(owner, ttl, RData::CNAME(CNAME(target.clone()))))
        .collect();
    let last = aliases.last().unwrap_or(name);
    records.extend(hosts(last, addresses, DAY, kind));
    records
}

/// Whose alias it is.
fn aliased(name: &str) -> Option<&str> {
    name.strip_prefix(ALIAS)?.split_once('.').map(|(_, rest)| rest)
}

/// At least one, where there is one.
fn some(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    fastrand::shuffle(&mut addresses);
    addresses.truncate(fastrand::usize(1..=addresses.len().max(1)));
    addresses
}

fn record(name: &Name, ttl: Duration, data: RData) -> Record {
    let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
    Record::from_rdata(name.clone(), ttl, data)
}

fn record_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "api.example.";

    fn zone(lie: Lie) -> Zone {
        let zone = Zone::new(Duration::from_secs(7));
        zone.set(NAME, (1..=9).map(|last| [10, 0, 21, last].into()).collect());
        zone.lie(Some(lie));
        zone
    }

    fn ask(zone: &Zone, over_udp: bool) -> Option<Reply> {
        reply(zone, &Name::from_ascii(NAME).expect("a name"), RecordType::A, over_udp)
    }

    #[test]
    fn each_lie_is_told_as_it_is_called() {
        assert!(ask(&zone(Lie::Silence), true).is_none());
        for (lie, code) in [
            (Lie::ServFail, ResponseCode::ServFail),
            (Lie::NxDomain, ResponseCode::NXDomain),
            (Lie::Empty, ResponseCode::NoError),
        ] {
            let reply = ask(&zone(lie), true).expect("a reply");
            assert_eq!((reply.code, reply.records.len()), (code, 0));
        }
        let counts: Vec<_> = (0..50)
            .map(|_| ask(&zone(Lie::Subset), true).expect("a reply").records.len())
            .collect();
        assert!(counts.iter().all(|count| (1..=9).contains(count)), "{counts:?}");
        assert!(counts.iter().any(|count| *count < 9), "{counts:?}");
    }

    #[test]
    fn what_is_truncated_over_udp_is_whole_over_tcp() {
        let zone = zone(Lie::Truncated);
        let [udp, tcp] = [true, false].map(|over_udp| ask(&zone, over_udp).expect("a reply"));
        assert_eq!((udp.truncated, udp.records.len()), (true, 0));
        assert_eq!((tcp.truncated, tcp.records.len()), (false, 9));
    }

    #[test]
    fn a_chain_has_three_aliases_and_its_last_one_can_be_asked_for_too() {
        let zone = zone(Lie::Chain);
        let records = ask(&zone, true).expect("a reply").records;
        assert_eq!(records.len(), 3 + 9);
        let ttls: Vec<_> = records.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls[..4], [7, 7, 7, 86_400]);
        let alias = Name::from_ascii("alias-3.api.example.").expect("a name");
        assert_eq!(records[3].name, alias);
        let again = reply(&zone, &alias, RecordType::A, true).expect("a reply");
        assert_eq!(again.records.len(), 9);
    }
}
