use std::{net::SocketAddr, sync::Arc};

use proxy_common::{
    addr::{Addr, Port},
    backend::BackendId,
    config::LocalId,
    stamp::Stamp,
};

use super::*;
use crate::datapath::{
    account::{Caller, Led},
    ledger::Ledger,
    limits::{Limits, Source},
};

const BACKEND: ([u8; 4], u16) = ([10, 0, 0, 9], 443);

fn key(port: u16) -> FlowKey {
    FlowKey {
        remote: Addr::from(std::net::Ipv4Addr::new(10, 0, 0, 20)),
        remote_port: Port::new(port),
        local_port: Port::new(443),
        local: LocalId(0),
        padding: 0,
    }
}

fn connection(ledger: &Arc<Ledger>) -> Connection {
    let backend = SocketAddr::from(BACKEND);
    let caller = Caller { client: backend, listen: backend, consumer: None, server_name: None };
    let limits = Arc::new(Limits::new(None, 10, None, None));
    let source = Source { address: backend.ip(), vpce: None };
    Connection {
        entry: ledger.enter(caller, Led { backend, source: backend }, None),
        place: limits.place(source).unwrap(),
        seat: None,
        is_logged: false,
        frame: Frame { keys: [key(1), key(2)], id: TrackId(7), headers: 40, counted: [0; 2] },
    }
}

fn event(change: Change) -> FlowEvent {
    FlowEvent {
        bytes_to_backend: 1_040,
        bytes_to_client: 80,
        client: key(1).remote,
        backend: Addr::UNSPECIFIED,
        packets_to_backend: 1,
        packets_to_client: 2,
        opened: Stamp::ZERO,
        at: Stamp::ZERO,
        client_port: key(1).remote_port,
        backend_port: Port::new(443),
        listen: key(1).local_port,
        source_port: Port::new(20_000),
        local: LocalId(0),
        backend_id: BackendId(1),
        change: change as u16,
        padding: 0,
    }
}

fn open(ledger: &Ledger) -> usize {
    let mut open = 0;
    ledger.for_each(|_| open += 1);
    open
}

#[test]
fn a_connection_is_open_until_its_end_is_told_and_then_its_account_is_closed() {
    let (kept, ledger) = (Kept::default(), Arc::<Ledger>::default());
    kept.armed(key(1));
    let connection = connection(&ledger);
    let traffic = ledger.traffic(connection.entry.backend());
    assert_eq!(traffic.open.load(Relaxed), 1);
    kept.keep(connection);
    assert_eq!((kept.open(), open(&ledger)), (1, 1));
    assert_eq!(traffic.open.load(Relaxed), 0, "the programs count it");
    assert!(kept.end(&event(Change::ResetByClient)));
    assert_eq!((kept.open(), open(&ledger)), (0, 0));
    assert_eq!(traffic.to_backend.load(Relaxed), 0, "the programs have counted that");
    assert!(!kept.end(&event(Change::Finished)), "it is known no more");
}

#[test]
fn an_end_that_is_told_before_the_handover_was_seen_is_not_lost() {
    let (kept, ledger) = (Kept::default(), Arc::<Ledger>::default());
    kept.armed(key(1));
    assert!(kept.end(&event(Change::Finished)), "it may be the agent's");
    kept.keep(connection(&ledger));
    assert_eq!((kept.open(), open(&ledger)), (0, 0));
}

#[test]
fn nothing_is_remembered_of_one_that_ended_on_the_relay() {
    let kept = Kept::default();
    kept.armed(key(1));
    kept.forget(&key(1));
    assert!(!kept.end(&event(Change::Finished)));
}

#[test]
fn another_connection_from_the_same_port_closes_what_was_there() {
    let (kept, ledger) = (Kept::default(), Arc::<Ledger>::default());
    kept.armed(key(1));
    kept.keep(connection(&ledger));
    kept.armed(key(1));
    assert_eq!((kept.open(), open(&ledger)), (0, 0));
}

#[test]
fn payload_is_what_packets_bear_beside_their_headers_and_never_counted_twice() {
    let ledger = Arc::<Ledger>::default();
    let mut connection = connection(&ledger);
    let up = |connection: &Connection| connection.entry.total(Direction::ToBackend);
    connection.account_for(Direction::ToBackend, 1_080, 2);
    assert_eq!(up(&connection), 1_000);
    connection.account_for(Direction::ToBackend, 2_120, 3);
    connection.account_for(Direction::ToBackend, 2_120, 3);
    assert_eq!(up(&connection), 2_000);
}
