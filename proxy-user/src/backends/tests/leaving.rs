//! How an address goes from the answer, and its connections after it.

use super::*;

#[test]
fn an_address_is_gone_after_several_answers_over_a_while_and_not_before() {
    let mut story = Story::with_live(&[1, 2]);
    for _ in 0..10 {
        assert_eq!(story.answer(&[2]), [(1, Live), (2, Live)], "not for so long yet");
    }
    story.waits(GRACE - STEP);
    assert_eq!(story.answer(&[2]), [(1, Live), (2, Live)]);
    story.waits(STEP);
    assert_eq!(story.states(), [(1, Live), (2, Live)], "without an answer nothing goes");
    assert_eq!(story.answer(&[2]), [(1, Draining), (2, Live)]);
}

#[test]
fn a_long_while_takes_several_answers_all_the_same() {
    let mut story = Story::with_live(&[1, 2]);
    for _ in 1..ABSENT_ANSWERS {
        assert_eq!(story.answer(&[2]), [(1, Live), (2, Live)]);
        story.waits(2 * GRACE);
    }
    assert_eq!(story.answer(&[2]), [(1, Draining), (2, Live)]);
}

#[test]
fn one_answer_that_has_it_starts_the_count_anew() {
    let mut story = Story::with_live(&[1, 2]);
    story.answer(&[2]);
    story.answer(&[2]);
    story.waits(GRACE);
    story.answer(&[1]);
    assert_eq!(story.answer(&[2]), [(1, Live), (2, Live)]);
    story.waits(GRACE);
    assert_eq!(story.answer(&[2]), [(1, Live), (2, Live)]);
    assert_eq!(story.answer(&[2]), [(1, Draining), (2, Live)]);
}

#[test]
fn one_that_is_missing_and_fails_is_gone_at_once_and_so_are_its_connections() {
    let mut story = Story::with_live(&[1, 2]);
    story.answer(&[2]);
    assert_eq!(story.falls(1, 2), [(2, Live)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
    assert_eq!(story.answer(&[1, 2]), [(1, Probing), (2, Live)]);
    assert_eq!(story.doomed(), [], "it is to be probed anew");
}

#[test]
fn one_that_is_down_goes_with_the_first_answer_that_lacks_it() {
    let mut story = Story::with_live(&[1, 2]);
    assert_eq!(story.falls(1, 2), [(1, Down), (2, Live)]);
    assert_eq!(story.answer(&[2]), [(2, Live)]);
}

#[test]
fn one_that_drains_is_gone_when_it_fails() {
    let mut story = Story::with_live(&[1, 2]);
    assert_eq!(story.settles(&[2]), [(1, Draining), (2, Live)]);
    assert_eq!(story.doomed(), []);
    assert_eq!(story.falls(1, 2), [(2, Live)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
}

#[test]
fn the_time_to_drain_is_a_tenth_more_or_less_for_each_and_ends_its_connections() {
    let mut story = Story::with_live(&[1, 2, 3]);
    assert_eq!(story.settles(&[3]), [(1, Draining), (2, Draining), (3, Live)]);
    let first = story.backends.next_deadline().unwrap() - story.now;
    assert!(first >= DRAIN.mul_f64(0.9), "{first:?}");
    story.waits(first - Duration::from_nanos(1));
    assert_eq!(story.states().len(), 3);
    story.waits(Duration::from_nanos(1));
    assert_eq!(story.states().len(), 2, "they do not end together");
    assert_eq!(story.doomed().len(), 1);
    story.waits(DRAIN.mul_f64(1.1) - first);
    assert_eq!(story.states(), [(3, Live)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Drained), (address(2), Doom::Drained)]);
    assert_eq!(story.backends.next_deadline(), None);
}

#[test]
fn one_that_returns_keeps_its_id_and_lives_at_once() {
    let mut story = Story::with_live(&[1, 2]);
    let id = story.id(1);
    assert_eq!(story.settles(&[2]), [(1, Draining), (2, Live)]);
    assert_eq!(story.answer(&[1, 2]), [(1, Live), (2, Live)]);
    assert_eq!(story.id(1), id);
    story.waits(2 * DRAIN);
    assert_eq!(story.states(), [(1, Live), (2, Live)]);
}

#[test]
fn what_left_the_answer_stands_in_until_one_of_the_answer_lives_and_drains_from_then_on() {
    let mut story = Story::with_live(&[1, 2]);
    assert_eq!(story.settles(&[3]), [(1, Live), (2, Live), (3, Probing)]);
    assert_eq!(story.backends.next_deadline(), None, "it stands in for as long as it takes");
    story.waits(2 * DRAIN);
    assert_eq!(story.passes(3), [(1, Draining), (2, Draining), (3, Live)]);
    story.waits(DRAIN / 2);
    assert_eq!(story.states(), [(1, Draining), (2, Draining), (3, Live)]);
    assert_eq!(story.falls(3, 1), [(1, Live), (2, Live), (3, Down)]);
}
