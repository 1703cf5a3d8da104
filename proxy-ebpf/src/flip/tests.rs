extern crate std;

mod end;
mod world;

use std::{vec, vec::Vec};

use proptest::prelude::*;
use proxy_common::track::TrackId;

use self::world::{Setting, Step, World};

fn numbers() -> impl Strategy<Value = [u32; 4]> {
    // Near the wrap as often as not.
    let number = prop_oneof![any::<u32>(), (u32::MAX - 2_000)..=u32::MAX];
    [number.clone(), number.clone(), number.clone(), number]
}

fn settings() -> impl Strategy<Value = Setting> {
    let rooms =
        prop_oneof![Just([4_000u16, 4_000, 1_000, 1_000]), prop::array::uniform4(500..4_000u16),];
    let scales = prop_oneof![Just([0; 4]), Just([2, 4, 4, 2]), prop::array::uniform4(0..=5u8)];
    (numbers(), numbers(), rooms, scales).prop_map(|(firsts, clocks, rooms, scales)| Setting {
        firsts,
        clocks,
        rooms,
        scales,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2usize;
    let any = |most: usize| (who.clone(), 0..most);
    let step = prop_oneof![
        3 => any(300).prop_map(|(who, much)| Step::Write(who, much)),
        1 => any(300).prop_map(|(who, much)| Step::Read(who, much)),
        6 => any(200).prop_map(|(who, much)| Step::Send(who, much)),
        2 => any(200).prop_map(|(who, much)| Step::SendAgain(who, much)),
        6 => any(200).prop_map(|(who, much)| Step::SocketSends(who, much)),
        1 => any(200).prop_map(|(who, much)| Step::SocketSendsAgain(who, much)),
        6 => any(300).prop_map(|(who, much)| Step::Relay(who, much)),
        12 => any(3).prop_map(|(who, which)| Step::Deliver(who, which)),
        12 => any(3).prop_map(|(who, which)| Step::Enter(who, which)),
        8 => any(3).prop_map(|(who, which)| Step::DeliverDown(who, which)),
        1 => any(3).prop_map(|(who, which)| Step::LoseBehind(who, which)),
        1 => any(3).prop_map(|(who, which)| Step::LoseDown(who, which)),
        1 => any(3).prop_map(|(who, which)| Step::Repeat(who, which)),
        3 => any(50).prop_map(|(who, much)| Step::Tick(who, much)),
        1 => Just(Step::Settle),
        2 => Just(Step::Record),
        3 => Just(Step::Arm),
    ];
    prop::collection::vec(step, 10..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whenever the program takes over, the agent holds nothing, and from then on each end gets the
    /// other's stream, is sent no more than it takes, and sees no stamp that is older than the last.
    #[test]
    fn a_handover_at_any_moment_loses_nothing(setting in settings(), steps in steps()) {
        let mut world = World::new(&setting);
        steps.iter().for_each(|step| world.step(*step));
        world.finish();
    }

    /// The same, seen to happen: after a rest, with room on both sides, the next packet does it.
    #[test]
    fn a_connection_at_rest_is_handed_over(
        firsts in numbers(), clocks in numbers(), scales in prop::array::uniform4(0..=5u8),
        steps in steps(), who in 0..2usize,
    ) {
        let rooms = [20_000, 20_000, 500, 500];
        let mut world = World::new(&Setting { firsts, clocks, rooms, scales });
        steps.iter().for_each(|step| world.step(*step));
        world.step(Step::Record);
        for _ in 0..100 {
            world.step(Step::Settle);
        }
        world.step(Step::Arm);
        world.step(Step::Send(who, 0));
        world.step(Step::Deliver(who, 0));
        prop_assert!(world.is_handed_over());
        world.finish();
    }
}

/// At rest, on record, and not yet armed.
fn resting() -> World {
    let mut world = World::new(&Setting {
        firsts: [1, 2_000, 3_000_000_000, u32::MAX - 5],
        clocks: [10, 20, 30, 40],
        rooms: [20_000, 20_000, 500, 500],
        scales: [2, 3, 4, 5],
    });
    world.step(Step::Write(0, 600));
    world.step(Step::Write(1, 800));
    world.step(Step::Record);
    for _ in 0..5 {
        world.step(Step::Settle);
    }
    world
}

fn next_packet_flips(world: &mut World) -> bool {
    world.step(Step::Send(0, 0));
    world.step(Step::Deliver(0, 0));
    world.is_handed_over()
}

/// What was promised before there is a record is known only since a later packet says it again.
#[test]
fn an_end_of_the_model_says_again_whatever_it_has_promised() {
    let mut world = resting();
    let socket = &mut world.sockets[0];
    socket.read -= 1;
    socket.promised += 1;
    let promised = socket.promised;
    let said = socket.emit(socket.sent, 0).seen().edge(socket.scale);
    assert!(!crate::track::after(promised, said), "{promised} was promised, then {said}");
}

#[test]
fn nothing_is_handed_over_that_is_not_armed_or_for_another_connection() {
    let mut world = resting();
    assert!(!next_packet_flips(&mut world));
    world.step(Step::Arm);
    world.arm.as_mut().unwrap().id = TrackId(8);
    assert!(!next_packet_flips(&mut world));
    world.step(Step::Arm);
    assert!(next_packet_flips(&mut world));
}

/// Forwarding it would do no harm, as the properties show; it is not what was looked at.
#[test]
fn a_packet_out_of_order_does_not_flip() {
    let mut world = resting();
    world.step(Step::Arm);
    world.step(Step::Write(0, 20));
    world.ends[0].sent += 10;
    assert!(!next_packet_flips(&mut world), "what came before it is missing");
    let mut world = resting();
    world.step(Step::Arm);
    world.ends[0].sent -= 1;
    assert!(!next_packet_flips(&mut world), "it has been there before");
}

#[test]
fn a_leg_of_which_a_side_was_not_heard_or_that_has_ended_stays_with_the_agent() {
    use proxy_common::track::Leg;
    let known = [Leg::PROMISED, Leg::OWN_STAMPED];
    for flag in known.into_iter().chain([Leg::OVER]) {
        for is_client in [true, false] {
            let mut world = resting();
            world.step(Step::Arm);
            let track = &mut world.track;
            let leg = if is_client { &mut track.client } else { &mut track.backend };
            leg.flags ^= flag;
            assert!(!next_packet_flips(&mut world), "{flag:#x}, client: {is_client}");
        }
    }
}

#[test]
fn legs_of_unlike_options_stay_with_the_agent() {
    let mut world = resting();
    world.step(Step::Arm);
    world.track.backend.peer.mss = 1_400;
    assert!(!next_packet_flips(&mut world));
}

#[test]
fn only_a_plain_acknowledgement_flips() {
    use crate::{parse::Flags, track::hear};
    for flags in [0, Flags::FIN | Flags::ACK, Flags::RST | Flags::ACK, Flags::SYN | Flags::ACK] {
        let mut world = resting();
        let arm = world.arming();
        let packet = world.ends[0].emit(world.ends[0].sent, 0);
        hear(&mut world.track.client, &packet.seen());
        let seen = super::Seen { flags: Flags(flags), ..packet.seen() };
        let to_backend = super::Direction::ToBackend;
        assert!(!super::flip(&mut world.track, to_backend, super::Family::V4, &seen, &arm));
        let seen = super::Seen { is_stamped: false, ..packet.seen() };
        assert!(!super::flip(&mut world.track, to_backend, super::Family::V4, &seen, &arm));
        assert!(super::flip(&mut world.track, to_backend, super::Family::V4, &packet.seen(), &arm));
    }
}
