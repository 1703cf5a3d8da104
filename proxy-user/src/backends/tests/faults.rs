//! Backends that fail: one alone, the last, and all together.

use super::*;

#[test]
fn the_connections_of_one_that_fails_alone_are_ended_as_soon_as_it_is_down() {
    let mut story = Story::with_live(&[1, 2]);
    assert_eq!(story.falls(1, 2), [(1, Down), (2, Live)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
    story.passes(1);
    assert_eq!(story.doomed(), []);
}

#[test]
fn the_last_that_lives_stays_in_use_unharmed_however_long_it_fails() {
    let mut story = Story::with_live(&[1]);
    story.fails(1);
    assert_eq!(story.fails(1), [(1, Live)]);
    assert_eq!(story.backends.snapshot().last_resort, Some(address(1)));
    story.waits(10 * PATIENCE);
    assert_eq!(story.fails(1), [(1, Live)]);
    assert_eq!(story.doomed(), []);
    assert_eq!(story.backends.next_deadline(), None);
    story.passes(1);
    assert_eq!(story.backends.snapshot().last_resort, None);
}

#[test]
fn an_address_that_is_somebody_elses_is_no_last_resort() {
    let mut story = Story::with_live(&[1]);
    assert_eq!(story.meets_a_stranger(1), [(1, Down)]);
    assert_eq!(story.backends.snapshot().last_resort, None);
    story.passes(1);
    story.fails(1);
    assert_eq!(story.fails(1), [(1, Live)]);
    assert_eq!(story.meets_a_stranger(1), [(1, Down)], "it was one until then");
}

#[test]
fn the_last_resort_is_down_once_another_lives_and_dead_once_it_fails_after_that() {
    let mut story = Story::with_live(&[1]);
    story.answer(&[1, 2]);
    story.fails(1);
    story.fails(1);
    assert_eq!(story.passes(2), [(1, Down), (2, Live)]);
    assert_eq!(story.backends.snapshot().last_resort, None);
    assert_eq!(story.doomed(), [], "it may be about to come back, too");
    story.fails(1);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
}

#[test]
fn when_all_fail_together_the_last_stays_in_use_and_no_connection_is_ended() {
    let mut story = Story::with_live(&[1, 2, 3]);
    for _ in 0..2 {
        (1..=3).for_each(|last| drop(story.fails(last)));
        story.waits(STEP);
    }
    assert_eq!(story.states(), [(1, Down), (2, Down), (3, Live)]);
    assert_eq!(story.doomed(), []);
    assert_eq!(story.passes(1), [(1, Live), (2, Down), (3, Down)]);
    assert_eq!(story.doomed(), [], "their next probes will tell");
    story.passes(2);
    assert_eq!(story.passes(3), [(1, Live), (2, Live), (3, Live)]);
    assert_eq!(story.doomed(), []);
}

#[test]
fn patience_with_a_fault_of_all_ends_for_all_but_the_last_resort() {
    let mut story = Story::with_live(&[1, 2]);
    for last in [1, 2, 1, 2] {
        story.fails(last);
    }
    assert_eq!(story.backends.next_deadline(), Some(story.now + PATIENCE));
    story.waits(PATIENCE - Duration::from_nanos(1));
    assert_eq!(story.doomed(), []);
    assert_eq!(story.waits(Duration::from_nanos(1)), [(1, Down), (2, Live)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
}

#[test]
fn the_last_resort_goes_when_it_is_missing_from_the_answer_too() {
    let mut story = Story::with_live(&[1]);
    story.fails(1);
    story.fails(1);
    assert_eq!(story.answer(&[2]), [(1, Live), (2, Probing)], "the fault may be ours");
    assert_eq!(story.waits(PATIENCE), [(2, Probing)]);
    assert_eq!(story.doomed(), [(address(1), Doom::Down)]);
}

/// The network and DNS fail together while an agent starts: once the one is back, the earlier
/// agent's backends are all that there is.
#[test]
fn no_inherited_backend_is_forgotten_before_an_answer_lacks_it() {
    for legacy in [Legacy::InForce, Legacy::HasFlows] {
        let mut story = Story::begin();
        story.inherits(7, 1, legacy);
        story.passes(1);
        story.fails(1);
        story.fails(1);
        assert_eq!(story.waits(10 * PATIENCE), [(1, Live)], "{legacy:?}");
        assert_eq!(story.answer(&[2]), [(2, Probing)], "{legacy:?}");
    }
}
