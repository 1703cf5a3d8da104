//! A resolver that lies: load goes on, no new connection fails, and the status says what is wrong.

use std::{net::IpAddr, time::Duration};

use proxy_user::status::DnsStatus;
use vm_tests::{ENDPOINT, Eni, Lie, Mix};

use crate::{
    discovery::{more_connections, no_failures},
    setting::{Scenario, flags, lab, live},
};

const SOON: Duration = Duration::from_secs(40);
const DAY: u64 = 86_400;
const REFUSED: [&str; 7] = [
    "127.0.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "10.0.10.10",
    "::ffff:10.0.21.10",
];

/// A lie, how it is told, and what the status says of it: from the one before and the one now.
type Row = (&'static str, fn(&Scenario), fn(&DnsStatus, &DnsStatus) -> bool);

const ROWS: [Row; 12] = [
    ("SERVFAIL", |lab| lab.zone().lie(Some(Lie::ServFail)), |_, now| fails(now, "Server Failure")),
    ("NXDOMAIN", |lab| lab.zone().lie(Some(Lie::NxDomain)), |_, now| fails(now, "NXDOMAIN")),
    ("empty", |lab| lab.zone().lie(Some(Lie::Empty)), |_, now| fails(now, "no address")),
    ("silence", |lab| lab.zone().lie(Some(Lie::Silence)), |_, now| fails(now, "timed out")),
    ("truncated", |lab| lab.zone().lie(Some(Lie::Truncated)), answers_thrice),
    (
        "a chain",
        |lab| lab.zone().lie(Some(Lie::Chain)),
        |before, now| answers_thrice(before, now) && now.ttl_seconds == Some(1),
    ),
    ("a subset", |lab| lab.zone().lie(Some(Lie::Subset)), answers_thrice),
    (
        "some refused",
        |lab| publish_too(lab, &REFUSED),
        |_, now| {
            let doubt = now.doubt.as_deref().unwrap_or_default();
            now.last_error.is_none()
                && doubt.contains("127.0.0.1 (loopback)")
                && now.refused.len() == REFUSED.len()
        },
    ),
    (
        "nothing but refused",
        |lab| publish(lab, &REFUSED),
        |_, now| fails(now, "nothing but refused addresses: ") && now.addresses.len() >= 3,
    ),
    ("a hundred", |lab| publish_too(lab, &a_hundred()), |_, now| now.addresses.len() >= 103),
    ("no TTL", |lab| lab.zone().set_ttl(Duration::ZERO), |_, now| now.ttl_seconds == Some(0)),
    (
        "a day's TTL",
        |lab| lab.zone().set_ttl(Duration::from_secs(DAY)),
        |_, now| now.ttl_seconds == Some(DAY) && now.next_in_ms.is_some_and(|next| next <= 2_100),
    ),
];

#[tokio::test]
async fn however_the_resolver_lies_no_new_connection_fails() {
    let mut lab = lab("lies", |options| {
        options.agent_flags.extend(flags(&["--max-ttl", "2s"]));
    })
    .await;
    let load = lab.load(Mix::default()).expect("a load");
    for (name, lie, is_wrong) in ROWS {
        let (before, over_tcp) =
            (lab.status().await.routes.remove(0).dns, lab.zone().queries_over_tcp());
        lie(&lab);
        lab.until(name, SOON, |status| is_wrong(&before, &status.routes[0].dns)).await;
        more_connections(&load).await;
        let counts = load.counts();
        assert_eq!(counts.failures, 0, "{name}: {:#?}", counts.last_errors);
        if name == "truncated" || name == "a hundred" {
            assert!(lab.zone().queries_over_tcp() > over_tcp, "{name}: not asked over TCP");
        }
        tell_the_truth(&lab);
        let enis = lab.enis().len();
        lab.until("the truth again", SOON, |status| {
            let dns = &status.routes[0].dns;
            let fine = dns.last_error.is_none() && dns.doubt.is_none();
            fine && dns.addresses.len() == enis
                && dns.ttl_seconds == Some(1)
                && live(status) >= enis
        })
        .await;
    }
    no_failures(&load.stop().await.expect("every request ended"));
    let refused = lab.status().await.routes.remove(0).dns.refused;
    for reason in
        ["loopback", "link_local", "multicast", "unspecified", "broadcast", "own", "ipv4_mapped"]
    {
        assert!(refused.contains_key(reason), "{reason}: {refused:?}");
    }
    lab.done().await;
}

fn fails(dns: &DnsStatus, how: &str) -> bool {
    dns.last_error.as_ref().is_some_and(|error| error.contains(how))
}

fn answers_thrice(before: &DnsStatus, now: &DnsStatus) -> bool {
    now.last_error.is_none() && now.answers >= before.answers + 3
}

fn tell_the_truth(lab: &Scenario) {
    lab.zone().lie(None);
    lab.zone().set_ttl(Duration::from_secs(1));
    lab.publish();
}

fn publish<T: AsRef<str>>(lab: &Scenario, addresses: &[T]) {
    let addresses = addresses.iter().map(|text| text.as_ref().parse().expect("an address"));
    lab.zone().set(ENDPOINT, addresses.collect());
}

/// Among the ENIs.
fn publish_too<T: AsRef<str>>(lab: &Scenario, more: &[T]) {
    let enis = lab.enis().iter().map(Eni::address).map(|address| address.ip());
    let more = more.iter().map(|text| text.as_ref().parse::<IpAddr>().expect("an address"));
    lab.zone().set(ENDPOINT, enis.chain(more).collect());
}

/// Of hosts that are not there, behind the ENIs in their order.
fn a_hundred() -> Vec<String> {
    (1..=100).map(|last| format!("10.0.30.{last}")).collect()
}
