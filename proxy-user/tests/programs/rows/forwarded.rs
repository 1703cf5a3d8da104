//! What is translated and sent, by one hook or both.

use proxy_common::addr::Family;
use proxy_ebpf::{
    fake::{
        Tcp, eni, eni6,
        icmp::{too_big, too_big_between},
    },
    parse::Flags,
};

use super::{
    Arrival, Arrives, Bench, CPORT, Connection, Decision, Forwards, Leaves, Relays, Row, Situation,
};

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;

/// Description, situation, at XDP, at TC.
const ROWS: [(&str, Situation, Decision, Decision); 15] = [
    ("a client's SYN", syn, Leaves, Forwards),
    ("a client's SYN comes again", syn_again, Leaves, Forwards),
    ("an ENI's answer to a SYN", answer, Leaves, Forwards),
    (
        "a client's acknowledgement",
        |_, it| Arrival::segment(it, &it.clients(ACK)),
        Forwards,
        Forwards,
    ),
    ("an ENI's acknowledgement", |_, it| Arrival::segment(it, &it.enis(ACK)), Forwards, Forwards),
    ("data of an odd length", |_, it| data(it, &it.clients(ACK), 333), Forwards, Forwards),
    ("data of an even length", |_, it| data(it, &it.enis(ACK), 1_000), Forwards, Forwards),
    ("padded to the shortest frame", |_, it| padded(it), Forwards, Forwards),
    ("a FIN", |_, it| Arrival::segment(it, &it.enis(Flags::FIN | ACK)), Forwards, Forwards),
    ("a RST", |_, it| Arrival::segment(it, &it.clients(Flags::RST)), Forwards, Forwards),
    ("one hop before its end", last_hop, Forwards, Forwards),
    ("an ICMP error about a client's packet", |_, it| error(it, &it.clients(ACK)), Leaves, Relays),
    ("an ICMP error about an ENI's packet", |_, it| error(it, &it.enis(ACK)), Leaves, Relays),
    ("of a connection that the set no longer has", backend_gone, Forwards, Forwards),
    ("after a RST", after_reset, Forwards, Forwards),
];

pub(super) fn rows(family: Family) -> impl Iterator<Item = Row> {
    ROWS.into_iter().map(move |(description, situation, at_xdp, at_tc)| Row {
        description,
        family,
        arrives: Arrives::In(situation),
        at_xdp,
        at_tc,
    })
}

/// From a port that is kept, so that what is to come out is known.
fn syn(_: &mut Bench, connection: &Connection) -> Arrival {
    let new = Connection { client: (connection.client.0, 2_000), source: 2_000, ..*connection };
    Arrival::segment(&new, &new.clients(SYN))
}

fn syn_again(bench: &mut Bench, connection: &Connection) -> Arrival {
    let begun = Connection::begin(bench, (connection.client.0, CPORT + 1));
    Arrival::segment(&begun, &begun.clients(SYN))
}

fn answer(bench: &mut Bench, connection: &Connection) -> Arrival {
    let begun = Connection::begin(bench, (connection.client.0, CPORT + 1));
    Arrival::segment(&begun, &begun.enis(SYN | ACK))
}

fn data(connection: &Connection, segment: &Tcp, bytes: usize) -> Arrival {
    let payload = (0..bytes).map(|n| (n * 7) as u8).collect();
    Arrival::segment(connection, &Tcp { payload, ..segment.clone() })
}

fn last_hop(_: &mut Bench, connection: &Connection) -> Arrival {
    Arrival::segment(connection, &Tcp { hops: 2, ..connection.clients(ACK) })
}

/// The router saw the packet as it left; its sender must see the one that it sent.
fn error(connection: &Connection, original: &Tcp) -> Arrival {
    let v6 = connection.proxy.is_ipv6();
    let router = if v6 { eni6(250) } else { eni(250) };
    let sent = connection.translated(original);
    let known = Tcp { hops: sent.hops, ..original.clone() };
    let ends = [connection.proxy, original.source.0];
    Arrival {
        frame: too_big(router, &sent.frame(), 1_400, 8).bytes(),
        translated: too_big_between(ends, 63, &known.frame(), 1_400, 8).bytes(),
    }
}

/// Ethernet's shortest frame has 60 bytes: its trailer is neither TCP's nor ours.
fn padded(connection: &Connection) -> Arrival {
    let Arrival { mut frame, mut translated } =
        Arrival::segment(connection, &connection.clients(ACK));
    frame.extend([0xa5; 6]);
    translated.extend([0xa5; 6]);
    Arrival { frame, translated }
}

fn backend_gone(bench: &mut Bench, connection: &Connection) -> Arrival {
    bench.publish([2]);
    Arrival::segment(connection, &connection.clients(ACK))
}

fn after_reset(bench: &mut Bench, connection: &Connection) -> Arrival {
    bench.forwards(&connection.enis(Flags::RST));
    Arrival::segment(connection, &connection.clients(ACK))
}
