//! Rows: what comes in and when, what each hook does with it, what comes out, and what the maps
//! then say.

mod forwarded;
mod refused;

use std::collections::HashMap;

use proxy_common::{
    addr::Family,
    flow::{Flow, FlowKey},
    reason::{Outcome, Reason},
};
use proxy_ebpf::fake::Tcp;

use super::{
    bench::{Bench, Hook, Verdict},
    connection::{CPORT, Connection, FAMILIES, client_of},
    place::{LINK_ADDRESS, ROUTER_ADDRESS},
};

struct Row {
    description: &'static str,
    family: Family,
    arrives: Arrives,
    at_xdp: Decision,
    at_tc: Decision,
}

enum Arrives {
    Frame(Vec<u8>),
    In(Situation),
}

/// Brings a host with one open connection into the situation, and says what arrives then.
type Situation = fn(&mut Bench, &Connection) -> Arrival;

struct Arrival {
    frame: Vec<u8>,
    /// What it is to become, where it is forwarded.
    translated: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Translated and sent, on the account of its flow.
    Forwards,
    /// Translated and sent, on nobody's account: an ICMP error.
    Relays,
    /// XDP leaves it to TC, untouched and uncounted.
    Leaves,
    /// Passed on or dropped, as the reason says, and counted.
    Refuses(Reason),
}
use Decision::{Forwards, Leaves, Refuses, Relays};

impl Arrival {
    fn refused(frame: Vec<u8>) -> Self {
        Self { frame, translated: vec![] }
    }

    fn segment(connection: &Connection, segment: &Tcp) -> Self {
        let translated = connection.translated(segment).frame().bytes();
        Self { frame: segment.frame().bytes(), translated }
    }
}

impl Row {
    fn decision(&self, hook: Hook) -> Decision {
        match hook {
            Hook::Tc => self.at_tc,
            Hook::Xdp => self.at_xdp,
        }
    }

    fn arrival(&self, bench: &mut Bench, connection: &Connection) -> Arrival {
        match &self.arrives {
            Arrives::Frame(frame) => Arrival::refused(frame.clone()),
            Arrives::In(situation) => situation(bench, connection),
        }
    }
}

fn rows() -> Vec<Row> {
    let mut rows = vec![];
    for family in FAMILIES {
        rows.extend(forwarded::rows(family));
        rows.extend(refused::rows(family));
    }
    rows
}

/// The maps before or after a packet.
struct Maps {
    table: HashMap<FlowKey, Flow>,
    counts: Vec<u64>,
}

impl Maps {
    fn of(bench: &Bench) -> Self {
        Self { table: bench.table().into_iter().collect(), counts: bench.counts() }
    }

    /// Packets and bytes of all flows.
    fn account(&self) -> (u64, u64) {
        let add =
            |sum: (u64, u64), flow: &Flow| (sum.0 + u64::from(flow.packets), sum.1 + flow.bytes);
        self.table.values().fold((0, 0), add)
    }

    fn counted_since(&self, before: &Self) -> Vec<(Reason, u64)> {
        let counts = self.counts.iter().zip(&before.counts).map(|(after, before)| after - before);
        Reason::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

fn check(bench: &mut Bench, row: &Row, hook: Hook) {
    let name = format!("{} ({:?}, {hook:?})", row.description, row.family);
    bench.begin_anew();
    let connection = Connection::open(bench, (client_of(row.family), CPORT));
    let arrival = row.arrival(bench, &connection);
    let before = Maps::of(bench);
    let (verdict, out) = bench.run(hook, &arrival.frame);
    let after = Maps::of(bench);
    let decision = row.decision(hook);
    assert_eq!(verdict, verdict_of(decision), "{name}");
    assert_eq!(after.counted_since(&before), counted(decision), "{name}");
    match decision {
        Forwards | Relays => {
            let bytes = ip_len(&arrival.frame);
            let account = before.account();
            let expected =
                if decision == Relays { account } else { (account.0 + 1, account.1 + bytes) };
            assert_eq!(after.account(), expected, "{name}");
            assert_eq!(out[12..], arrival.translated[12..], "{name}");
            assert_eq!(out[..12], ethernet(hook, &arrival.frame), "{name}");
        }
        Leaves | Refuses(_) => {
            assert_eq!(out, arrival.frame, "{name}: nothing is half translated");
            assert_eq!(after.table, before.table, "{name}: nothing is on the account");
        }
    }
}

/// Bytes of the IP packet, as its header tells them.
fn ip_len(frame: &[u8]) -> u64 {
    let word = |at: usize| u64::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    if frame[12] == 8 { word(16) } else { 40 + word(18) }
}

fn verdict_of(decision: Decision) -> Verdict {
    match decision {
        Forwards | Relays => Verdict::Sent,
        Leaves => Verdict::Passed,
        Refuses(reason) => match reason.outcome() {
            Outcome::Pass => Verdict::Passed,
            Outcome::Drop => Verdict::Dropped,
        },
    }
}

fn counted(decision: Decision) -> Vec<(Reason, u64)> {
    match decision {
        Refuses(reason) => vec![(reason, 1)],
        Forwards | Relays | Leaves => vec![],
    }
}

/// XDP addresses the frame to the router itself, TC leaves that to the kernel.
fn ethernet(hook: Hook, arrived: &[u8]) -> Vec<u8> {
    match hook {
        Hook::Tc => arrived[..12].to_vec(),
        Hook::Xdp => [ROUTER_ADDRESS, LINK_ADDRESS].concat(),
    }
}

#[test]
fn every_row_holds_at_tc() {
    let mut bench = Bench::with_table(1, 64);
    rows().iter().for_each(|row| check(&mut bench, row, Hook::Tc));
}

#[test]
fn every_row_holds_at_xdp() {
    let mut bench = Bench::with_table(1, 64);
    rows().iter().for_each(|row| check(&mut bench, row, Hook::Xdp));
}

/// Reasons that a hook never has, or a family, and why.
const NEVER: [(&[Hook], &[Family], Reason, &str); 5] = [
    (&[Hook::Tc], &FAMILIES, Reason::NoExit, "the kernel finds the way out after the program"),
    (&[Hook::Tc], &FAMILIES, Reason::RewriteFailed, "headers that were read can be written"),
    (&[Hook::Xdp], &FAMILIES, Reason::RewriteFailed, "headers that were read can be written"),
    (&Hook::BOTH, &FAMILIES, Reason::Relayed, "what the listener accepts has tests of its own"),
    (&Hook::BOTH, &[Family::V6], Reason::BadChecksum, "IPv6's header has none"),
];

#[test]
fn every_reason_has_its_rows() {
    let rows = rows();
    for hook in Hook::BOTH {
        for family in FAMILIES {
            for reason in Reason::ALL {
                let has = |row: &Row| row.family == family && shows(row, hook, *reason);
                let never = NEVER.iter().any(|(hooks, families, what, _)| {
                    what == reason && hooks.contains(&hook) && families.contains(&family)
                });
                assert_eq!(rows.iter().any(has), !never, "{reason:?} at {hook:?}, {family:?}");
            }
        }
    }
}

/// A packet that XDP leaves has its reason at TC: XDP shows that it is none to judge it.
fn shows(row: &Row, hook: Hook, reason: Reason) -> bool {
    match row.decision(hook) {
        Leaves => row.at_tc == Refuses(reason),
        decision => decision == Refuses(reason),
    }
}
