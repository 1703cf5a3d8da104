//! What goes to the stack or is dropped, by one hook or both.

use std::net::IpAddr;

use proxy_common::{
    addr::Family,
    config::{Config, PortRange},
    reason::{Outcome, Reason},
};
use proxy_ebpf::{
    fake::{Tcp, icmp::too_big, not_forwarded, sum_again},
    parse::Flags,
};

use super::{
    Arrival, Arrives, Bench, CPORT, Connection, Decision, Forwards, Leaves, Refuses, Row, Situation,
};
use crate::programs::place;

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;

/// XDP leaves these to TC, which refuses them.
const AT_TC: [(&str, Situation, Reason); 14] = [
    ("before the agent's configuration", unconfigured, Reason::NotConfigured),
    ("a SYN without a backend", no_backend, Reason::NoBackend),
    ("a SYN on a full table", full, Reason::TableFull),
    ("a SYN with all source ports taken", no_port, Reason::PortsExhausted),
    ("a SYN for another port", other_port, Reason::OtherPort),
    ("an answer to nobody", |_, it| strange(it, SYN | ACK), Reason::UnknownFlow),
    ("a SYN with a FIN", |_, it| strange(it, SYN | Flags::FIN), Reason::UnknownFlow),
    ("a SYN with a RST", |_, it| strange(it, SYN | Flags::RST), Reason::UnknownFlow),
    ("no flags at all", |_, it| strange(it, 0), Reason::UnknownFlow),
    ("an ICMP error about the host's packet", about_the_host, Reason::IcmpOfNoFlow),
    ("an ICMP error about UDP", about_udp, Reason::IcmpOfNoFlow),
    ("an ICMP error about a SYN", about_a_syn, Reason::IcmpWhileOpening),
    ("an ICMP error at its end", error_at_its_end, Reason::TtlExpired),
    ("a SYN at its end", |_, it| at_its_end(new_syn(it)), Reason::TtlExpired),
];

/// What never leaves has not happened to its connection.
const AT_BOTH: [(&str, Situation, Reason); 2] = [
    ("a FIN at its end", |_, it| at_its_end(clients(it, Flags::FIN | ACK)), Reason::TtlExpired),
    ("a RST at its end", |_, it| at_its_end(clients(it, Flags::RST)), Reason::TtlExpired),
];

/// XDP finds no way out for these, TC sends them.
const WITHOUT_EXIT: [(&str, Situation); 3] = [
    ("to a client without a neighbour", no_neighbour),
    ("to a client behind another link", another_link),
    ("longer than the link carries", too_long),
];

pub(super) fn rows(family: Family) -> impl Iterator<Item = Row> {
    let row = move |description, arrives, at_xdp, at_tc| Row {
        description,
        family,
        arrives,
        at_xdp,
        at_tc,
    };
    let at_tc = AT_TC.into_iter().map(move |(description, situation, reason)| {
        row(description, Arrives::In(situation), Leaves, Refuses(reason))
    });
    let at_both = AT_BOTH.into_iter().map(move |(description, situation, reason)| {
        row(description, Arrives::In(situation), Refuses(reason), Refuses(reason))
    });
    let without_exit = WITHOUT_EXIT.into_iter().map(move |(description, situation)| {
        row(description, Arrives::In(situation), Refuses(Reason::NoExit), Forwards)
    });
    let broken =
        not_forwarded(family, CPORT).into_iter().map(move |(description, frame, reason)| {
            row(description, Arrives::Frame(frame), broken_at_xdp(reason), Refuses(reason))
        });
    at_tc.chain(at_both).chain(without_exit).chain(broken)
}

fn broken_at_xdp(reason: Reason) -> Decision {
    match reason.outcome() {
        Outcome::Pass => Leaves,
        Outcome::Drop => Refuses(reason),
    }
}

fn new_syn(connection: &Connection) -> Arrival {
    let client = (connection.client.0, CPORT + 1);
    segment(&Tcp { source: client, ..connection.clients(SYN) })
}

fn segment(segment: &Tcp) -> Arrival {
    Arrival::refused(segment.frame().bytes())
}

fn unconfigured(bench: &mut Bench, connection: &Connection) -> Arrival {
    bench.configure(Config::default());
    segment(&connection.clients(ACK))
}

fn no_backend(bench: &mut Bench, connection: &Connection) -> Arrival {
    bench.publish([]);
    new_syn(connection)
}

fn full(bench: &mut Bench, connection: &Connection) -> Arrival {
    bench.fill_table();
    new_syn(connection)
}

fn no_port(bench: &mut Bench, connection: &Connection) -> Arrival {
    let sources = PortRange { first: connection.source, len: 1 };
    bench.configure(Config { sources, ..Bench::config() });
    new_syn(connection)
}

fn other_port(_: &mut Bench, connection: &Connection) -> Arrival {
    segment(&Tcp { destination: (connection.proxy, 22), ..connection.clients(SYN) })
}

/// From a client who has no connection.
fn strange(connection: &Connection, flags: u8) -> Arrival {
    let client = (connection.client.0, CPORT + 1);
    segment(&Tcp { source: client, ..connection.clients(flags) })
}

fn error_about(about: &Tcp) -> Arrival {
    Arrival::refused(too_big(about.destination.0, &about.frame(), 1_400, 8).bytes())
}

fn about_the_host(_: &mut Bench, connection: &Connection) -> Arrival {
    error_about(&Tcp::new((connection.proxy, 40_000), connection.eni, ACK))
}

fn about_udp(_: &mut Bench, connection: &Connection) -> Arrival {
    let mut error = error_about(&connection.translated(&connection.clients(ACK)));
    let protocol = if connection.proxy.is_ipv6() { 14 + 40 + 8 + 6 } else { 14 + 20 + 8 + 9 };
    error.frame[protocol] = 17;
    error
}

fn about_a_syn(bench: &mut Bench, connection: &Connection) -> Arrival {
    let begun = Connection::begin(bench, (connection.client.0, CPORT + 1));
    error_about(&begun.translated(&begun.clients(SYN)))
}

fn error_at_its_end(_: &mut Bench, connection: &Connection) -> Arrival {
    at_its_end(error_about(&connection.translated(&connection.clients(ACK))))
}

fn at_its_end(mut arrival: Arrival) -> Arrival {
    let is_v6 = arrival.frame[12] == 0x86;
    arrival.frame[if is_v6 { 21 } else { 22 }] = 1;
    sum_again(&mut arrival.frame);
    arrival
}

fn clients(connection: &Connection, flags: u8) -> Arrival {
    segment(&connection.clients(flags))
}

fn no_neighbour(bench: &mut Bench, connection: &Connection) -> Arrival {
    to_client_at(bench, place::without_neighbour(family(connection)))
}

fn another_link(bench: &mut Bench, connection: &Connection) -> Arrival {
    to_client_at(bench, place::behind_another_link(family(connection)))
}

/// More than the link's 1,500 bytes: whether it can be cut, or who is to be told, the kernel knows.
fn too_long(_: &mut Bench, connection: &Connection) -> Arrival {
    let data = Tcp { payload: vec![1; 1_600], ..connection.enis(ACK) };
    Arrival::segment(connection, &data)
}

fn to_client_at(bench: &mut Bench, client: IpAddr) -> Arrival {
    let connection = Connection::open(bench, (client, CPORT));
    Arrival::segment(&connection, &connection.enis(ACK))
}

fn family(connection: &Connection) -> Family {
    if connection.proxy.is_ipv6() { Family::V6 } else { Family::V4 }
}
