//! What the agent is told of a connection, packet by packet.

use std::{vec, vec::Vec};

use proxy_common::event::{Change, FlowEvent};

use super::*;

fn told(environment: &FakeEnvironment) -> Vec<FlowEvent> {
    environment.events.take()
}

fn changes(environment: &FakeEnvironment) -> Vec<Option<Change>> {
    told(environment).iter().map(FlowEvent::change).collect()
}

#[test]
fn an_opened_connection_names_both_ends() {
    let environment = FakeEnvironment::with_enis(1);
    let [(_, source), to] = passes(&environment, &from_client(CPORT, SYN));
    let [event] = told(&environment)[..] else { panic!("one event") };
    assert_eq!(event.change(), Some(Change::Opened));
    assert_eq!((event.client, event.client_port.get()), (CLIENT.into(), CPORT));
    assert_eq!((event.backend, event.backend_port.get()), (to.0.into(), to.1));
    assert_eq!((event.listen.get(), event.source_port.get()), (LISTEN, source));
    assert_eq!(event.opened, event.at);
    assert_eq!((event.packets_to_backend, event.packets_to_client), (1, 0));
}

#[test]
fn a_closed_connection_comes_with_its_account() {
    let environment = FakeEnvironment::with_enis(1);
    let (to, source) = handshake(&environment, CPORT);
    environment.wait(5_000);
    passes(&environment, &Tcp { payload: vec![7; 100], ..from_client(CPORT, ACK) });
    passes(&environment, &from_client(CPORT, FIN | ACK));
    assert_eq!(changes(&environment), [Some(Change::Opened)]);
    passes(&environment, &Tcp::new(to, (PROXY, source), FIN | ACK));
    let [event] = told(&environment)[..] else { panic!("one event") };
    assert_eq!(event.change(), Some(Change::Finished));
    assert_eq!((event.packets_to_backend, event.bytes_to_backend), (4, 4 * 40 + 100));
    assert_eq!((event.packets_to_client, event.bytes_to_client), (2, 2 * 40));
    let lasted = std::time::Duration::from(event.at.since(event.opened));
    assert!(lasted.as_millis().abs_diff(5_000) < 5, "{lasted:?}");
    passes(&environment, &from_client(CPORT, ACK));
    assert_eq!(told(&environment), [], "the last acknowledgement is no second end");
}

#[test]
fn a_reset_is_told_with_who_sent_it_and_once() {
    let environment = FakeEnvironment::with_enis(1);
    let (to, source) = handshake(&environment, CPORT);
    handshake(&environment, CPORT + 1);
    environment.events.take();
    passes(&environment, &Tcp::new(to, (PROXY, source), RST));
    assert_eq!(changes(&environment), [Some(Change::ResetByBackend)]);
    passes(&environment, &from_client(CPORT, RST));
    assert_eq!(changes(&environment), []);
    passes(&environment, &from_client(CPORT + 1, RST));
    assert_eq!(changes(&environment), [Some(Change::ResetByClient)]);
}

#[test]
fn an_unanswered_syn_is_told_and_so_is_its_next_attempt() {
    let environment = FakeEnvironment::with_enis(2);
    passes(&environment, &from_client(CPORT, SYN));
    environment.wait(1_000);
    passes(&environment, &from_client(CPORT, SYN));
    let [first, gone, second] = told(&environment)[..] else { panic!("three events") };
    let changes = [first, gone, second].map(|event| event.change().unwrap());
    assert_eq!(changes, [Change::Opened, Change::Unanswered, Change::Opened]);
    assert_eq!(first.backend, gone.backend);
    assert_ne!(first.backend, second.backend);
}
