//! A status as text for people.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    backends::state_name,
    status::{BackendStatus, DatapathStatus, DnsStatus, HandoverStatus, RouteStatus, Status},
};

const EVENTS: usize = 10;
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const HEADER: [&str; 10] = [
    "ID",
    "ADDRESS",
    "ZONE",
    "STATE",
    "OPEN",
    "OPENED",
    "TO BACKEND",
    "TO CLIENT",
    "PROBE",
    "LAST ERROR",
];

pub fn status(status: &Status) -> String {
    let mut out = String::new();
    let ready = if status.ready { "ready" } else { "not ready" };
    let reason = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    line(&mut out, "enigate", &format!("{}, {ready}{reason}", status.version));
    line(&mut out, "data path", &datapath(&status.datapath));
    for route in &status.routes {
        line(&mut out, "forwards", &forwards(route));
        line(&mut out, "dns", &dns(&route.dns));
    }
    line(&mut out, "listener", &listener(status));
    line(&mut out, "not forwarded", &counts(&status.reasons));
    let _ = writeln!(out, "\n{}", backends(status));
    out.push_str(&events(status));
    out
}

/// Of several clusters one table each, with the endpoint above it.
pub fn backends(status: &Status) -> String {
    let title = |route: &RouteStatus| match status.routes.len() {
        1 => String::new(),
        _ => format!("{}\n", route.endpoint),
    };
    let tables: Vec<_> =
        status.routes.iter().map(|route| title(route) + &table(&route.backends)).collect();
    tables.join("\n")
}

fn forwards(route: &RouteStatus) -> String {
    let mut text = format!("{} to {}", route.listen, route.endpoint);
    if !route.server_names.is_empty() {
        let _ = write!(text, ", asked for as {}", route.server_names.join(" "));
    }
    text
}

fn table(backends: &[BackendStatus]) -> String {
    let rows: Vec<_> = backends.iter().map(row).collect();
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| {
            let longest = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            longest.max(HEADER[column].len())
        })
        .collect();
    let header = HEADER.map(str::to_owned);
    [header].iter().chain(&rows).map(|row| aligned(row, &widths)).collect()
}

fn row(backend: &BackendStatus) -> [String; HEADER.len()] {
    [
        backend.id.to_string(),
        backend.address.to_string(),
        if backend.own_zone { "own" } else { "other" }.to_owned(),
        state_name(backend.state).to_owned(),
        backend.open.to_string(),
        backend.opened.to_string(),
        bytes(backend.bytes_to_backend),
        bytes(backend.bytes_to_client),
        backend.probe.last_ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
        backend.probe.last_error.clone().unwrap_or_default(),
    ]
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let _ = write!(line, "{cell:<width$}  ");
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

fn datapath(datapath: &DatapathStatus) -> String {
    let mut text = datapath.name.clone();
    if let (Some(hook), Some(interface)) = (&datapath.hook, &datapath.interface) {
        let (entries, capacity) = (datapath.flow_entries, datapath.flow_capacity);
        let _ = write!(text, " at {hook} of {interface}, {entries} of {capacity} flow entries");
    }
    let _ = write!(text, " ({})", datapath.reason);
    if let Some(handover) = &datapath.handover {
        let HandoverStatus { open, pending, handed_over, relayed, .. } = handover;
        let _ = write!(text, "; {handed_over} handed over, {open} of them open, {pending} pending");
        if !relayed.is_empty() {
            let _ = write!(text, ", relayed: {}", counts(relayed));
        }
    }
    text
}

fn dns(dns: &DnsStatus) -> String {
    let addresses: Vec<_> = dns.addresses.iter().map(ToString::to_string).collect();
    let mut text = if addresses.is_empty() { "no answer".into() } else { addresses.join(" ") };
    if let (Some(ttl), Some(next)) = (dns.ttl_seconds, dns.next_in_ms) {
        let _ = write!(text, ", TTL {ttl} s, next in {:.1} s", next as f64 / 1_000.0);
    }
    if let (Some("saved"), Some(age)) = (dns.source.as_deref(), dns.age_seconds) {
        let _ = write!(text, ", saved {age} s ago");
    }
    let _ = write!(text, ", {} answers, {} failures", dns.answers, dns.failures);
    if !dns.refused.is_empty() {
        let _ = write!(text, ", refused: {}", counts(&dns.refused));
    }
    if let Some(wrong) = dns.last_error.as_ref().or(dns.doubt.as_ref()) {
        let _ = write!(text, ", now: {wrong}");
    }
    text
}

fn listener(status: &Status) -> String {
    let listener = &status.listener;
    let mut text = format!(
        "{} accepted, {} open, {} relayed",
        listener.accepted, listener.open, listener.relayed
    );
    if !listener.failures.is_empty() {
        let _ = write!(text, "; {}", counts(&listener.failures));
    }
    if !listener.consumers.is_empty() {
        let _ = write!(text, "; {} consumers", listener.consumers.len());
    }
    text
}

fn events(status: &Status) -> String {
    let newest = &status.events[status.events.len().saturating_sub(EVENTS)..];
    newest.iter().fold(String::new(), |mut out, event| {
        let _ = writeln!(out, "{:.0}  {:<9}  {}", event.at, event.kind, event.message);
        out
    })
}

fn line(out: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(out, "{name:<13}  {text}");
    }
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn bytes(count: u64) -> String {
    let unit = (count.max(1).ilog2() as usize / 10).min(UNITS.len() - 1);
    match unit {
        0 => format!("{count} B"),
        _ => format!("{:.1} {}", count as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{BackendState, Event, ListenerStatus, ProbeStatus};

    fn backend(id: u16, address: &str, state: BackendState) -> BackendStatus {
        BackendStatus {
            id,
            address: address.parse().unwrap(),
            state,
            resolved: true,
            own_zone: id == 1,
            probe: ProbeStatus { last_ms: Some(0.52), ..ProbeStatus::default() },
            open: 2,
            opened: 30,
            bytes_to_backend: 512,
            bytes_to_client: 3 << 20,
            packets_to_backend: 0,
            packets_to_client: 0,
        }
    }

    fn sample() -> Status {
        let backends = vec![
            backend(1, "10.0.21.10:443", BackendState::Live),
            backend(12, "[fd00::1]:443", BackendState::Draining),
        ];
        Status {
            version: "1.2.3".into(),
            started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            ready: false,
            reason: Some("draining".into()),
            datapath: DatapathStatus {
                name: "packet".into(),
                reason: "asked for".into(),
                hook: Some("tcx".into()),
                interface: Some("eth0".into()),
                flow_entries: 4,
                flow_capacity: 262_144,
                flow_events_lost: 0,
                mss_clamped: 0,
                sockmap: None,
                handover: None,
                resets: BTreeMap::new(),
            },
            routes: vec![RouteStatus {
                endpoint: "api.example:443".into(),
                listen: "0.0.0.0:443".parse().unwrap(),
                server_names: vec![],
                dns: DnsStatus {
                    addresses: vec!["10.0.21.10".parse().unwrap()],
                    ttl_seconds: Some(60),
                    next_in_ms: Some(12_340),
                    answers: 7,
                    ..DnsStatus::default()
                },
                generation: 3,
                backends,
            }],
            listener: ListenerStatus { accepted: 5, ..ListenerStatus::default() },
            reasons: BTreeMap::from([("fragment".into(), 2), ("not_tcp".into(), 9)]),
            events: vec![Event {
                at: "2026-01-02T03:04:06.789Z".parse().unwrap(),
                kind: "dns".into(),
                message: "answer: 10.0.21.10".into(),
            }],
        }
    }

    #[test]
    fn people_read_the_whole_state() {
        let expected = "\
enigate        1.2.3, not ready: draining
data path      packet at tcx of eth0, 4 of 262144 flow entries (asked for)
forwards       0.0.0.0:443 to api.example:443
dns            10.0.21.10, TTL 60 s, next in 12.3 s, 7 answers, 0 failures
listener       5 accepted, 0 open, 0 relayed
not forwarded  fragment 2, not_tcp 9

ID  ADDRESS         ZONE   STATE     OPEN  OPENED  TO BACKEND  TO CLIENT  PROBE   LAST ERROR
1   10.0.21.10:443  own    live      2     30      512 B       3.0 MiB    0.5 ms
12  [fd00::1]:443   other  draining  2     30      512 B       3.0 MiB    0.5 ms

2026-01-02T03:04:06Z  dns        answer: 10.0.21.10
";
        assert_eq!(status(&sample()), expected);
    }

    #[test]
    fn each_of_several_clusters_has_its_table() {
        let mut status = sample();
        let mut second = status.routes[0].clone();
        second.endpoint = "b.example:443".into();
        second.server_names = vec!["b.example".into(), "*.b.example".into()];
        second.backends.truncate(1);
        status.routes.push(second);
        let said = backends(&status);
        let (first, second) = said.split_once("\n\nb.example:443\n").expect("two tables");
        assert!(first.starts_with("api.example:443\nID"), "{said}");
        assert_eq!((first.lines().count(), second.lines().count()), (4, 2), "{said}");
        let named = "0.0.0.0:443 to b.example:443, asked for as b.example *.b.example";
        assert!(super::status(&status).contains(named));
    }

    #[test]
    fn bytes_are_rounded_to_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
