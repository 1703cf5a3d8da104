//! A connection's life, moved on by the flags of its packets.

use proxy_common::{
    event::Change,
    flow::{Direction, Flow, Half, Life},
    stamp::Stamp,
};

use crate::{
    environment::Environment,
    parse::{Flags, Segment},
};

/// Takes the packet into the account of its direction and moves that direction on. Returns how the
/// connection has ended, if this packet ended it.
#[inline(always)]
pub fn advance<E: Environment>(
    flow: &mut Flow,
    segment: &Segment,
    now: Stamp,
    environment: &E,
) -> Option<Change> {
    flow.packets = flow.packets.wrapping_add(1);
    flow.bytes = flow.bytes.wrapping_add(u64::from(segment.bytes));
    flow.seen = now;
    if segment.flags.has(Flags::ACK) {
        flow.acked = segment.acknowledgement;
    }
    environment.count_packet(flow.backend, flow.direction, segment.bytes);
    let next = next(flow.half, flow.direction, segment.flags);
    if next == flow.half {
        return None;
    }
    turn(flow, next, segment, environment)
}

/// Rare: a handshake's packet, a first FIN or a RST.
#[inline(always)]
fn turn<E: Environment>(
    flow: &mut Flow,
    next: Half,
    segment: &Segment,
    environment: &E,
) -> Option<Change> {
    let Some(other) = environment.flow(&flow.twin(segment.key.local)).map(|twin| twin.half) else {
        flow.half = next;
        return None;
    };
    let was_closed = Life::of(flow.half, other) == Life::Closed;
    flow.half = next;
    if was_closed || Life::of(next, other) != Life::Closed {
        return None;
    }
    environment.count_closed(flow.backend);
    Some(ending(next, flow.direction))
}

/// Of a connection that a packet of this direction has closed.
#[inline(always)]
const fn ending(half: Half, direction: Direction) -> Change {
    match (half, direction) {
        (Half::Reset, Direction::ToBackend) => Change::ResetByClient,
        (Half::Reset, Direction::ToClient) => Change::ResetByBackend,
        (Half::Opening | Half::Open | Half::Done, _) => Change::Finished,
    }
}

/// What a packet makes of its direction. Nothing follows a RST, and a FIN may come again.
#[inline(always)]
fn next(half: Half, direction: Direction, flags: Flags) -> Half {
    if half == Half::Reset || flags.has(Flags::RST) {
        return Half::Reset;
    }
    if half == Half::Done || flags.has(Flags::FIN) {
        return Half::Done;
    }
    // A client's direction is open with the first packet after its SYN, a backend's with its answer.
    let opens = match direction {
        Direction::ToBackend => !flags.has(Flags::SYN),
        Direction::ToClient => flags.has(Flags::SYN) && flags.has(Flags::ACK),
    };
    if opens { Half::Open } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToBackend, ToClient};

    const SYN: u8 = Flags::SYN;
    const ACK: u8 = Flags::ACK;

    #[test]
    fn each_direction_opens_with_its_part_of_the_handshake() {
        assert_eq!(next(Half::Opening, ToBackend, Flags(SYN)), Half::Opening);
        assert_eq!(next(Half::Opening, ToClient, Flags(ACK)), Half::Opening);
        assert_eq!(next(Half::Opening, ToClient, Flags(SYN | ACK)), Half::Open);
        assert_eq!(next(Half::Opening, ToBackend, Flags(ACK)), Half::Open);
    }

    #[test]
    fn nothing_brings_a_direction_back() {
        for flags in 0..=0xff {
            assert_eq!(next(Half::Reset, ToClient, Flags(flags)), Half::Reset);
            let after_fin = next(Half::Done, ToBackend, Flags(flags));
            assert!(matches!(after_fin, Half::Done | Half::Reset));
        }
    }

    #[test]
    fn a_connection_is_closed_by_a_reset_or_by_both_fins() {
        assert_eq!(Life::of(Half::Open, Half::Done), Life::Open);
        assert_eq!(Life::of(Half::Done, Half::Done), Life::Closed);
        assert_eq!(Life::of(Half::Open, Half::Reset), Life::Closed);
        assert_eq!(Life::of(Half::Opening, Half::Open), Life::Opening);
    }
}
