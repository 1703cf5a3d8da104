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

/// Its numbers are about 1,000 and ours about 5,000; nothing of it is on record yet.
fn open() -> Leg {
    let offer = |scale| Offer { mss: 1460, scale, flags: Offer::SCALE };
    Leg { peer: offer(2), own: offer(3), ..Leg::EMPTY }
}

#[test]
fn a_leg_is_known_from_its_packets_on() {
    let mut leg = open();
    hear(&mut leg, &packet(ACK, 1_000, 0, 5_000, 100));
    assert_eq!((leg.end, leg.acked, leg.edge), (1_000, 5_000, 5_400));
    assert!(leg.has(Leg::COUNTED | Leg::ACKED));
    assert!(!leg.has(Leg::OVER) && !leg.has(Leg::PROMISED));
    say(&mut leg, &packet(ACK, 5_000, 0, 1_000, 40));
    assert!(leg.has(Leg::PROMISED));
    assert_eq!(leg.promised, 1_320);
}

#[test]
fn what_the_socket_knows_counts_where_it_is_later_or_nothing_is_on_record() {
    for first in [1_000, u32::MAX - 10] {
        let mut leg = open();
        sow(&mut leg, &Seed { end: first, acked: 3_000_000_000 });
        assert_eq!((leg.end, leg.acked), (first, 3_000_000_000));
        hear(&mut leg, &packet(ACK, first, 100, 3_000_000_007, 100));
        sow(&mut leg, &Seed { end: first.wrapping_add(50), acked: 3_000_000_002 });
        assert_eq!((leg.end, leg.acked), (first.wrapping_add(100), 3_000_000_007));
    }
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
    let mut leg = open();
    sow(&mut leg, &Seed { end: u32::MAX - 10, acked: u32::MAX - 5 });
    hear(&mut leg, &packet(ACK, u32::MAX - 10, 100, 20, 10));
    assert_eq!((leg.end, leg.acked), (89, 20));
    hear(&mut leg, &packet(ACK, u32::MAX - 10, 0, u32::MAX - 5, 10));
    assert_eq!((leg.end, leg.acked), (89, 20));
}

#[test]
fn a_syn_that_comes_again_tells_nothing_of_data() {
    let mut leg = open();
    hear(&mut leg, &packet(ACK, 1_000, 200, 5_000, 100));
    hear(&mut leg, &packet(SYN, 70_000, 1, 0, 100));
    assert_eq!((leg.end, leg.acked), (1_200, 5_000));
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
