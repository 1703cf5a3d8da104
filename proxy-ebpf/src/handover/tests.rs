extern crate std;

use std::{boxed::Box, vec::Vec};

use proxy_common::{addr::Family, event::FlowEvent, flow::Half};

use super::*;
use crate::{
    fake::{
        FakeEnvironment, FakePacket, IFINDEX, checksums_verify,
        handover::{Act, Fate, MARK, Session},
    },
    forward::{Send, forward},
    guard::{Leave, guard},
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn environment() -> FakeEnvironment {
    let mut environment = FakeEnvironment::with_enis(1);
    environment.config = environment.config.map(Session::config);
    environment
}

fn play(environment: &FakeEnvironment, acts: impl IntoIterator<Item = Act>) {
    for act in acts {
        let mut frame = act.segment.frame();
        let said = |frame: &mut FakePacket| guard(frame, MARK, environment);
        let expected = match &act.fate {
            Fate::Forwarded(segment) => {
                let sent = forward(&mut frame, environment);
                assert_eq!(sent, Ok(Send { ifindex: IFINDEX }), "{act:?}");
                assert!(checksums_verify(&frame), "{act:?}");
                segment.frame()
            }
            Fate::Relayed => {
                assert_eq!(forward(&mut frame, environment), Err(Reason::Relayed), "{act:?}");
                act.segment.frame()
            }
            Fate::Granted => {
                assert_eq!(said(&mut frame), Leave::Granted, "{act:?}");
                act.segment.frame()
            }
            Fate::Refused => {
                assert_eq!(said(&mut frame), Leave::Refused, "{act:?}");
                act.segment.frame()
            }
        };
        assert_eq!(frame.bytes()[12..], expected.bytes()[12..], "{act:?}");
    }
}

const ID: TrackId = TrackId(7);

/// What the agent does once it is old enough.
fn enter(environment: &FakeEnvironment, session: &Session) {
    for (key, flow) in session.keys().iter().zip(session.flows(ID)) {
        environment.insert(key, &flow).unwrap();
    }
    environment.tracks.borrow_mut().insert(session.keys()[0], session.track(ID));
}

fn arm_as(environment: &FakeEnvironment, session: &Session, id: TrackId) {
    let arm: &'static Arm = Box::leak(Box::new(session.arm(id)));
    environment.arms.borrow_mut().insert(session.keys()[0], arm);
}

/// Accepted, connected, on record and armed.
fn armed(environment: &FakeEnvironment, session: &Session) {
    play(environment, session.young());
    enter(environment, session);
    play(environment, session.grown());
    arm_as(environment, session, ID);
}

#[test]
fn an_accepted_connection_is_taken_over_and_told_of_once() {
    for family in FAMILIES {
        let (environment, session) = (environment(), Session::of(family));
        armed(&environment, &session);
        assert_eq!(environment.counted(Counter::HandedOver), 0);
        play(&environment, session.handed_over());
        play(&environment, [session.stray_syn()]);
        assert_eq!(environment.counted(Counter::HandedOver), 1);
        assert_eq!(environment.counted(Counter::Guarded), 2);
        play(&environment, session.finished());
        let told: Vec<_> = environment.events.borrow().iter().map(FlowEvent::change).collect();
        assert_eq!(told, [Some(Change::HandedOver), Some(Change::Finished)]);
    }
}

#[test]
fn a_connection_that_is_not_armed_stays_with_the_agent() {
    let (environment, session) = (environment(), Session::of(Family::V4));
    armed(&environment, &session);
    environment.arms.borrow_mut().clear();
    let first = session.handed_over().swap_remove(0);
    play(&environment, [Act { fate: Fate::Relayed, ..first }]);
    let said = session.handed_over().swap_remove(2);
    play(&environment, [Act { fate: Fate::Granted, ..said }]);
}

#[test]
fn a_young_connection_leaves_nothing_in_the_kernel() {
    for family in FAMILIES {
        let (environment, session) = (environment(), Session::of(family));
        play(&environment, session.young());
        play(&environment, session.grown());
        assert!(environment.flows.borrow().is_empty() && environment.tracks.borrow().is_empty());
    }
}

#[test]
fn what_has_not_been_heard_of_every_end_and_socket_takes_nothing_over() {
    for family in FAMILIES {
        for missing in 0..4 {
            let (environment, session) = (environment(), Session::of(family));
            play(&environment, session.young());
            let mut grown = session.grown();
            let early = grown.remove(missing);
            play(&environment, [early]);
            enter(&environment, &session);
            play(&environment, grown);
            arm_as(&environment, &session, ID);
            let first = session.handed_over().swap_remove(0);
            let is_the_clients = missing == 3;
            let fate = if is_the_clients { first.fate } else { Fate::Relayed };
            play(&environment, [Act { segment: first.segment, fate }]);
        }
    }
}

#[test]
fn what_is_left_of_an_earlier_connection_takes_nothing_over() {
    for is_arm in [true, false] {
        let (environment, session) = (environment(), Session::of(Family::V4));
        armed(&environment, &session);
        if is_arm {
            arm_as(&environment, &session, TrackId(ID.0 ^ 2));
        } else {
            let mut flow = environment.flow(&session.keys()[0]).unwrap();
            flow.track.0 ^= 2;
        }
        let first = session.handed_over().swap_remove(0);
        play(&environment, [Act { fate: Fate::Relayed, ..first }]);
    }
}

#[test]
fn a_packet_without_hops_does_not_take_over() {
    let (environment, session) = (environment(), Session::of(Family::V4));
    armed(&environment, &session);
    let mut first = session.handed_over().swap_remove(0);
    (first.segment.hops, first.fate) = (1, Fate::Relayed);
    play(&environment, [first]);
}

#[test]
fn without_the_other_entry_nothing_is_taken_over() {
    let (environment, session) = (environment(), Session::of(Family::V4));
    armed(&environment, &session);
    environment.remove(&session.keys()[1]);
    let first = session.handed_over().swap_remove(0);
    play(&environment, [Act { fate: Fate::Relayed, ..first }]);
}

#[test]
fn a_syn_on_a_finished_connection_clears_it_away_and_goes_to_the_listener() {
    for family in FAMILIES {
        let (environment, session) = (environment(), Session::of(family));
        armed(&environment, &session);
        play(&environment, session.handed_over());
        play(&environment, session.finished());
        play(&environment, [session.next_syn()]);
        assert!(environment.flows.borrow().is_empty() && environment.tracks.borrow().is_empty());
    }
}

#[test]
fn a_relayed_connection_is_known_to_be_in_use_and_how_to_reset_it() {
    let (environment, session) = (environment(), Session::of(Family::V4));
    play(&environment, session.young());
    enter(&environment, &session);
    play(&environment, session.grown());
    let arm = session.arm(TrackId::NONE);
    for (key, acked) in session.keys().iter().zip([arm.client.acked, arm.backend.acked]) {
        let flow = environment.flow_now(key).unwrap();
        assert_eq!((flow.acked, flow.seen), (acked, environment.now()));
        assert_eq!((flow.half, flow.packets), (Half::Open, 0), "nothing was forwarded");
    }
}

#[test]
fn other_sockets_of_the_host_are_not_guarded() {
    let (environment, session) = (environment(), Session::of(Family::V4));
    armed(&environment, &session);
    play(&environment, session.handed_over());
    let fin = session.handed_over().swap_remove(2).segment;
    assert_eq!(guard(&mut fin.frame(), MARK + 1, &environment), Leave::Granted);
    assert_eq!(guard(&mut fin.frame(), MARK, &environment), Leave::Refused);
}
