use super::*;
use proxy_common::track::Offer;

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;

fn packet(flags: u8, sequence: u32, len: u32, acknowledgement: u32, window: u16) -> Seen {
    let end = sequence.wrapping_add(len);
    Seen { sequence, acknowledgement, end, window, flags: Flags(flags), ..Seen::NOTHING }
}

/// One that goes to our socket.
fn hear(leg: &mut Leg, seen: &Seen) {
    super::hear(leg, seen);
    count(leg, seen);
}

fn stamped(seen: Seen, tsval: u32) -> Seen {
    Seen { is_stamped: true, tsval, ..seen }
}

/// A client's leg behind the handshake: its numbers begin at 1,000, ours at 5,000.
fn open() -> Leg {
    let offer = |scale| Offer { mss: 1460, scale, flags: Offer::SCALE };
    let mut leg = Leg::EMPTY;
    hear(&mut leg, &Seen { offer: offer(2), ..packet(SYN, 999, 1, 0, 100) });
    say(&mut leg, &Seen { offer: offer(3), ..packet(SYN | ACK, 4_999, 1, 1_000, 100) });
    hear(&mut leg, &packet(ACK, 1_000, 0, 5_000, 100));
    leg
}

#[test]
fn a_leg_is_known_from_its_handshake_on() {
    let mut leg = open();
    assert_eq!((leg.end, leg.acked, leg.edge), (1_000, 5_000, 5_400));
    assert!(leg.has(Leg::HEARD | Leg::SAID | Leg::ACKED));
    assert!(!leg.has(Leg::OVER) && !leg.has(Leg::PROMISED), "it may have more by now");
    say(&mut leg, &packet(ACK, 5_000, 0, 1_000, 40));
    assert!(leg.has(Leg::PROMISED));
    assert_eq!(leg.promised, 1_320);
}

#[test]
fn the_latest_counts_whatever_comes_after_it() {
    let mut leg = open();
    hear(&mut leg, &stamped(packet(ACK, 1_000, 500, 5_700, 50), 7));
    hear(&mut leg, &stamped(packet(ACK, 1_000, 200, 5_100, 40), 6));
    assert_eq!((leg.end, leg.acked, leg.edge, leg.tsval), (1_500, 5_700, 5_900, 7));
    say(&mut leg, &stamped(packet(ACK, 5_000, 0, 1_500, 40), 9));
    say(&mut leg, &stamped(packet(ACK, 5_000, 0, 1_100, 40), 8));
    assert_eq!((leg.promised, leg.own_tsval), (1_820, 9));
}

#[test]
fn numbers_wrap() {
    let mut leg = Leg { end: u32::MAX - 10, acked: u32::MAX - 5, ..open() };
    hear(&mut leg, &packet(ACK, u32::MAX - 10, 100, 20, 10));
    assert_eq!((leg.end, leg.acked), (89, 20));
    hear(&mut leg, &packet(ACK, u32::MAX - 10, 0, u32::MAX - 5, 10));
    assert_eq!((leg.end, leg.acked), (89, 20));
}

#[test]
fn the_answer_to_our_syn_counts_once() {
    let mut leg = Leg::EMPTY;
    say(&mut leg, &packet(SYN, 100, 1, 0, 600));
    hear(&mut leg, &packet(SYN | ACK, 8_999, 1, 101, 400));
    assert_eq!((leg.end, leg.acked, leg.edge), (9_000, 101, 501));
    let answered = leg;
    hear(&mut leg, &packet(SYN | ACK, 8_999, 1, 101, 400));
    assert_eq!(leg, answered, "one that comes again tells nothing new");
}

#[test]
fn a_second_backend_begins_a_leg_of_its_own() {
    let mut leg = Leg::EMPTY;
    say(&mut leg, &packet(SYN, 100, 1, 0, 600));
    hear(&mut leg, &packet(Flags::RST | ACK, 0, 0, 101, 0));
    assert!(leg.has(Leg::OVER));
    say(&mut leg, &packet(SYN, 70, 1, 0, 600));
    assert!(!leg.has(Leg::OVER) && !leg.has(Leg::ACKED));
}

#[test]
fn a_fin_or_a_rst_of_either_side_ends_it() {
    for flag in [Flags::FIN, Flags::RST] {
        let (mut theirs, mut ours) = (open(), open());
        hear(&mut theirs, &packet(ACK | flag, 1_000, 1, 5_000, 9));
        say(&mut ours, &packet(ACK | flag, 5_000, 1, 1_000, 9));
        assert!(theirs.has(Leg::OVER) && ours.has(Leg::OVER));
    }
}

#[test]
fn another_syn_begins_anew_only_while_the_handshake_goes_on() {
    let syn = |sequence| packet(SYN, sequence, 1, 0, 100);
    let mut track = Track::EMPTY;
    begin(&mut track, TrackId(7), Stamp::ZERO, &syn(999));
    assert!(!begins_anew(&track, &syn(999)), "the same, repeated");
    assert!(begins_anew(&track, &syn(4_999)));
    hear(&mut track.client, &packet(ACK, 1_000, 0, 5_000, 100));
    assert!(!begins_anew(&track, &syn(4_999)), "anybody could send it");
}
