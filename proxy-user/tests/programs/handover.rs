//! A connection that was accepted in user space, in the kernel: put on record and armed by the maps as
//! the agent would, taken over with the next packet, and guarded from the sockets that it had.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

use proxy_common::{
    addr::Family,
    counter::Counter,
    flow::{Half, Life},
    reason::Reason,
    track::{Stage, Track, TrackId},
};
use proxy_ebpf::fake::{
    FakePacket, checksums_verify,
    handover::{Act, Fate, MARK, Session},
};

use super::{
    bench::{Bench, Hook, Verdict},
    connection::FAMILIES,
};

fn listening() -> Bench {
    let mut bench = Bench::with_enis(1);
    bench.configure(Session::config(Bench::config()));
    bench
}

fn play(bench: &mut Bench, acts: impl IntoIterator<Item = Act>) {
    for act in acts {
        let frame = act.segment.frame().bytes();
        match &act.fate {
            Fate::Granted => assert_eq!(bench.guard(&frame, MARK), Verdict::Passed, "{act:?}"),
            Fate::Refused => assert_eq!(bench.guard(&frame, MARK), Verdict::Dropped, "{act:?}"),
            Fate::Relayed => {
                let (verdict, out) = bench.run(Hook::Tc, &frame);
                assert_eq!((verdict, out), (Verdict::Passed, frame), "{act:?}");
            }
            Fate::Forwarded(segment) => {
                let (verdict, out) = bench.run(Hook::Tc, &frame);
                assert_eq!(verdict, Verdict::Sent, "{act:?}");
                assert!(checksums_verify(&FakePacket::from_bytes(&out)), "{act:?}");
                assert_eq!(out[12..], segment.frame().bytes()[12..], "{act:?}");
            }
        }
    }
}

fn track(bench: &Bench, session: &Session) -> Track {
    bench.track(&session.keys()[0]).unwrap()
}

const ID: TrackId = TrackId(7);

/// Accepted, connected and on record.
fn recorded(bench: &mut Bench, family: Family) -> Session {
    let session = Session::of(family);
    play(bench, session.young());
    for (key, flow) in session.keys().iter().zip(session.flows(ID)) {
        bench.insert(key, flow);
    }
    bench.record(&session.keys()[0], session.track(ID));
    play(bench, session.grown());
    session
}

fn armed(bench: &mut Bench, family: Family) -> Session {
    let session = recorded(bench, family);
    bench.arm(&session.keys()[0], session.arm(ID));
    session
}

#[test]
fn a_connection_is_taken_over_with_a_packet_and_forwarded_to_its_end() {
    for family in FAMILIES {
        let mut bench = listening();
        let session = armed(&mut bench, family);
        assert_eq!(track(&bench, &session).stage, Stage::Relayed);
        assert_eq!(bench.counter(Counter::HandedOver), 0);
        play(&mut bench, session.handed_over());
        assert_eq!(track(&bench, &session).stage, Stage::HandedOver);
        assert_eq!(bench.counter(Counter::HandedOver), 1);
        assert_eq!(bench.counter(Counter::Guarded), 2);
        let flows = session.keys().map(|key| bench.flow(&key).unwrap());
        assert!(flows.iter().all(|flow| flow.stage == Stage::HandedOver && flow.packets == 1));
        assert_eq!(bench.load_of(flows[0].backend), (1, 0));
        play(&mut bench, [session.stray_syn()]);
        play(&mut bench, session.finished());
        let [one, other] = session.keys().map(|key| bench.flow(&key).unwrap().half);
        assert_eq!(Life::of(one, other), Life::Closed);
        assert_eq!(bench.load_of(flows[0].backend), (1, 1));
    }
}

#[test]
fn a_syn_on_a_finished_connection_clears_it_away_and_goes_to_the_listener() {
    for family in FAMILIES {
        let mut bench = listening();
        let session = armed(&mut bench, family);
        play(&mut bench, session.handed_over());
        play(&mut bench, session.finished());
        play(&mut bench, [session.next_syn()]);
        assert_eq!(bench.table(), [], "both entries are gone");
        assert_eq!(bench.track(&session.keys()[0]), None);
    }
}

#[test]
fn a_connection_that_is_not_armed_is_relayed_and_counted_so() {
    let mut bench = listening();
    let session = recorded(&mut bench, Family::V4);
    assert_eq!(bench.count(Reason::Relayed), 6);
    let first = session.handed_over().swap_remove(0);
    play(&mut bench, [Act { fate: Fate::Relayed, ..first }]);
    let flow = bench.flow(&session.keys()[0]).unwrap();
    assert_eq!((flow.half, flow.packets), (Half::Open, 0));
    assert_eq!(flow.acked, session.arm(ID).client.acked, "what a reset would need");
}

#[test]
fn the_guard_leaves_other_sockets_alone() {
    let mut bench = listening();
    let session = armed(&mut bench, Family::V4);
    play(&mut bench, session.handed_over());
    let fin = session.handed_over().swap_remove(2).segment.frame().bytes();
    assert_eq!(bench.guard(&fin, 0), Verdict::Passed);
    assert_eq!(bench.guard(&fin, MARK + 1), Verdict::Passed);
    assert_eq!(bench.guard(&fin, MARK), Verdict::Dropped);
}

#[test]
fn xdp_leaves_accepted_connections_to_tc() {
    for family in FAMILIES {
        let mut bench = listening();
        let session = armed(&mut bench, family);
        let [first, answer, ..] = &session.handed_over()[..] else { panic!("two at least") };
        for act in [first, answer] {
            let frame = act.segment.frame().bytes();
            let (verdict, out) = bench.run(Hook::Xdp, &frame);
            assert_eq!((verdict, out), (Verdict::Passed, frame));
            play(&mut bench, [act.clone()]);
        }
    }
}

/// The numbers of the packet before are still where this one's are put.
#[test]
fn a_packet_without_a_stamp_does_not_take_over_where_stamps_are_in_use() {
    let mut bench = listening();
    let session = armed(&mut bench, Family::V4);
    let mut first = session.handed_over().swap_remove(0);
    (first.segment.options, first.fate) = (Vec::new(), Fate::Relayed);
    play(&mut bench, [first]);
}
