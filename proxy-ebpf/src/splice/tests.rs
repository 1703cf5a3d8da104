use super::*;
use proptest::prelude::*;

const BUFFER: u32 = 1 << 20;

/// One direction, with a destination that takes what it is given when it is told to.
struct Way {
    splice: Splice,
    ledger: Ledger,
    sequence: u32,
    destination: Destination,
}

impl Way {
    fn from(sequence: u32) -> Self {
        let destination = Destination { write_seq: 77, queued: 0, buffer: BUFFER };
        Self { splice: Splice::default(), ledger: Ledger::default(), sequence, destination }
    }

    fn judge(&mut self, sequence: u32, len: u32) -> Judgement {
        let arrival = Arrival { sequence, len, expected: self.sequence };
        judge(&mut self.splice, self.ledger, arrival, Some(self.destination), 0)
    }

    /// The next bytes of the stream.
    fn next(&mut self, len: u32) -> Verdict {
        let judged = self.judge(self.sequence, len);
        self.sequence = self.sequence.wrapping_add(len);
        assert_eq!(judged.trim, 0);
        judged.verdict
    }

    /// The other socket takes all that was redirected, and its peer has it.
    fn settle(&mut self) {
        let given = self.splice.redirected + self.ledger.carried;
        self.destination.write_seq = 77u32.wrapping_add(given as u32);
        self.destination.queued = 0;
    }

    /// As [`Self::settle`], and user space writes all that was passed.
    fn carry(&mut self) {
        self.ledger.carried = self.splice.passed;
        self.settle();
    }

    fn fill(&mut self) {
        while self.next(10_000) == Verdict::Redirect {}
    }
}

#[test]
fn bytes_are_redirected_while_there_is_room() {
    let mut way = Way::from(1_000);
    for _ in 0..1_000 {
        assert_eq!(way.next(60_000), Verdict::Redirect);
        way.settle();
    }
    assert_eq!((way.splice.redirected, way.splice.passed), (60_000_000, 0));
}

#[test]
fn an_empty_skb_goes_nowhere_and_changes_nothing() {
    let mut way = Way::from(1_000);
    assert_eq!(way.judge(1_000, 0), Judgement { trim: 0, verdict: Verdict::Drop });
    assert_eq!(way.splice, Splice::default());
}

#[test]
fn bytes_that_came_before_are_cut_off() {
    let mut way = Way::from(1_000);
    way.next(500);
    let verdict = Verdict::Redirect;
    assert_eq!(way.judge(1_200, 400), Judgement { trim: 300, verdict });
    assert_eq!(way.judge(1_000, 600), Judgement { trim: 600, verdict: Verdict::Drop });
    assert_eq!(way.judge(1_600, 10), Judgement { trim: 0, verdict });
    assert_eq!((way.splice.redirected, way.splice.trimmed), (610, 900));
}

#[test]
fn bytes_that_user_space_read_before_the_first_skb_are_cut_off() {
    let mut way = Way::from(1_300);
    assert_eq!(way.judge(1_000, 1_000), Judgement { trim: 300, verdict: Verdict::Redirect });
}

#[test]
fn a_gap_is_a_fault_and_nothing_is_redirected_behind_it() {
    let mut way = Way::from(1_000);
    way.next(500);
    assert_eq!(way.judge(1_501, 10).verdict, Verdict::Pass);
    assert_eq!(way.splice.fault, Fault::Gap);
}

#[test]
fn what_has_no_room_is_passed_and_nothing_overtakes_it() {
    let mut way = Way::from(1_000);
    way.fill();
    let limit = u64::from(BUFFER - BUFFER / 4);
    assert!(way.splice.redirected < limit, "{:?}", way.splice);
    assert!(way.splice.redirected > limit / 2, "{:?}", way.splice);
    way.settle();
    assert_eq!(way.next(1), Verdict::Pass, "user space has not written yet");
    way.carry();
    assert_eq!(way.next(1), Verdict::Redirect);
}

#[test]
fn small_skbs_count_for_the_memory_that_they_take() {
    let mut way = Way::from(1_000);
    while way.next(1) == Verdict::Redirect {}
    assert!(way.splice.redirected * u64::from(OVERHEAD) < u64::from(BUFFER), "{:?}", way.splice);
}

#[test]
fn what_the_send_queue_holds_leaves_less_room() {
    let mut way = Way::from(1_000);
    way.destination.queued = BUFFER - BUFFER / 4 - OVERHEAD - 100;
    assert_eq!(way.next(100), Verdict::Redirect);
    way.destination.queued += 1;
    assert_eq!(way.next(100), Verdict::Pass);
}

#[test]
fn without_a_destination_all_is_passed() {
    let mut way = Way::from(1_000);
    let arrival = Arrival { sequence: 1_000, len: 9, expected: 1_000 };
    let judged = judge(&mut way.splice, way.ledger, arrival, None, 0);
    assert_eq!((judged.verdict, way.splice.passed), (Verdict::Pass, 9));
}

#[test]
fn a_ledger_that_says_so_keeps_all_in_user_space() {
    let mut way = Way::from(1_000);
    way.ledger.for_good = 1;
    assert_eq!(way.next(10), Verdict::Pass);
    way.carry();
    assert_eq!(way.next(10), Verdict::Pass);
}

#[test]
fn more_than_may_wait_for_user_space_is_a_fault() {
    let mut way = Way::from(1_000);
    way.fill();
    while way.splice.passed <= PASS_LIMIT {
        assert_eq!(way.splice.fault, Fault::None);
        assert_eq!(way.next(50_000), Verdict::Pass);
    }
    assert_eq!(way.splice.fault, Fault::Flood);
}

#[test]
fn segments_are_held_off_before_that_and_come_in_again_once_user_space_has_caught_up() {
    let mut way = Way::from(1_000);
    way.fill();
    while may_receive(&way.splice, way.ledger, 0) {
        assert_eq!(way.next(50_000), Verdict::Pass);
    }
    assert_eq!(way.splice.fault, Fault::None);
    assert!(way.splice.passed > HOLD_LIMIT, "{:?}", way.splice);
    way.carry();
    assert!(may_receive(&way.splice, way.ledger, 0));
}

proptest! {
    /// Whatever comes in whatever pieces, however often: each byte goes one way, once, in order.
    #[test]
    fn every_byte_goes_one_way_once(
        start: u32,
        steps in proptest::collection::vec((0..3_000u32, 1..200_000u32, 0..3u8), 1..200),
    ) {
        let mut way = Way::from(start);
        let mut came = 0u64;
        for (old, fresh, after) in steps {
            let old = u64::from(old).min(came) as u32;
            let judged = way.judge(way.sequence.wrapping_sub(old), old + fresh);
            way.sequence = way.sequence.wrapping_add(fresh);
            came += u64::from(fresh);
            prop_assert_eq!(judged.trim, old);
            if judged.verdict == Verdict::Redirect {
                prop_assert_eq!(way.splice.passed, way.ledger.carried);
            }
            prop_assert_eq!(way.splice.redirected + way.splice.passed, came);
            match after {
                0 => {}
                1 => way.settle(),
                _ => way.carry(),
            }
        }
    }
}
