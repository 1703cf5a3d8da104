//! A status as text for people.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    backends::state_name,
    status::{BackendStatus, DatapathStatus, DnsStatus, Status},
};

const EVENTS: usize = 10;
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const HEADER: [&str; 9] =
    ["ID", "ADDRESS", "STATE", "OPEN", "OPENED", "TO BACKEND", "TO CLIENT", "PROBE", "LAST ERROR"];

pub fn status(status: &Status) -> String {
    let mut out = String::new();
    let ready = if status.ready { "ready" } else { "not ready" };
    let reason = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    line(&mut out, "enigate", &format!("{}, {ready}{reason}", status.version));
    line(&mut out, "forwards", &format!("{} to {}", status.listen, status.endpoint));
    line(&mut out, "data path", &datapath(&status.datapath));
    line(&mut out, "dns", &dns(&status.dns));
    line(&mut out, "listener", &listener(status));
    line(&mut out, "not forwarded", &counts(&status.reasons));
    let _ = writeln!(out, "\n{}", backends(status));
    out.push_str(&events(status));
    out
}

pub fn backends(status: &Status) -> String {
    let rows: Vec<_> = status.backends.iter().map(row).collect();
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
    text
}

fn dns(dns: &DnsStatus) -> String {
    let addresses: Vec<_> = dns.addresses.iter().map(ToString::to_string).collect();
    let mut text = if addresses.is_empty() { "no answer".into() } else { addresses.join(" ") };
    if let (Some(ttl), Some(next)) = (dns.ttl_seconds, dns.next_in_ms) {
        let _ = write!(text, ", TTL {ttl} s, next in {:.1} s", next as f64 / 1_000.0);
    }
    let _ = write!(text, ", {} answers, {} failures", dns.answers, dns.failures);
    if let Some(error) = &dns.last_error {
        let _ = write!(text, ", now: {error}");
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
