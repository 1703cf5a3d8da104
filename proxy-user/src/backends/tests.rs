mod properties;

use std::num::NonZeroU8;

use super::*;
use crate::health::Finding;

const THRESHOLDS: Thresholds =
    Thresholds { fall: NonZeroU8::new(2).unwrap(), rise: NonZeroU8::MIN };

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 443))
}

/// The state of each backend, by the last number of its address.
fn states(backends: &Backends) -> Vec<(u8, BackendState)> {
    let last = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => v4.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    };
    let shown = backends.snapshot();
    shown.backends.iter().map(|backend| (last(backend.address), backend.state)).collect()
}

struct Story {
    backends: Backends,
    now: Instant,
}

impl Story {
    fn begin() -> Self {
        Self { backends: Backends::new(THRESHOLDS), now: Instant::now() }
    }

    fn answer(&mut self, lasts: &[u8]) -> Vec<(u8, BackendState)> {
        let answer = lasts.iter().map(|last| address(*last)).collect();
        self.backends.answered(&answer, self.now);
        states(&self.backends)
    }

    fn passes(&mut self, last: u8) -> Vec<(u8, BackendState)> {
        self.backends.probed(address(last), Outcome::Passed);
        states(&self.backends)
    }

    fn fails(&mut self, last: u8) -> Vec<(u8, BackendState)> {
        self.backends.probed(address(last), Outcome::Failed);
        states(&self.backends)
    }

    fn id(&self, last: u8) -> BackendId {
        self.backends.known[&address(last)].id
    }
}

use BackendState::{Down, Draining, Live, Probing};

#[test]
fn a_backend_lives_once_it_passed_and_is_down_once_it_failed_often_enough() {
    let mut story = Story::begin();
    assert_eq!(story.answer(&[1, 2]), [(1, Probing), (2, Probing)]);
    assert_eq!(story.passes(1), [(1, Live), (2, Probing)]);
    assert_eq!(story.fails(1), [(1, Live), (2, Probing)]);
    assert_eq!(story.fails(1), [(1, Down), (2, Probing)]);
    assert_eq!(story.passes(1), [(1, Live), (2, Probing)]);
}

#[test]
fn a_live_backend_that_left_the_answer_drains_until_it_fails() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.passes(1);
    story.passes(2);
    assert_eq!(story.answer(&[2]), [(1, Draining), (2, Live)]);
    story.fails(1);
    assert_eq!(story.fails(1), [(2, Live)]);
}

#[test]
fn a_live_backend_that_left_the_answer_drains_for_a_bounded_time() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.passes(1);
    story.passes(2);
    story.answer(&[2]);
    assert_eq!(story.backends.next_deadline(), Some(story.now + DRAIN_GRACE));
    story.backends.tick(story.now + DRAIN_GRACE - Duration::from_millis(1));
    assert_eq!(states(&story.backends), [(1, Draining), (2, Live)]);
    story.backends.tick(story.now + DRAIN_GRACE);
    assert_eq!(states(&story.backends), [(2, Live)]);
}

#[test]
fn what_left_the_answer_stands_in_until_one_of_the_answer_lives() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.passes(1);
    story.passes(2);
    assert_eq!(story.answer(&[3]), [(1, Live), (2, Live), (3, Probing)]);
    assert_eq!(story.backends.next_deadline(), None, "it stands in for as long as it takes");
    story.backends.tick(story.now + 2 * DRAIN_GRACE);
    assert_eq!(story.passes(3), [(1, Draining), (2, Draining), (3, Live)]);
    story.fails(3);
    assert_eq!(story.fails(3), [(1, Live), (2, Live), (3, Down)]);
}

#[test]
fn an_inherited_backend_that_passes_serves_before_the_first_answer() {
    let mut story = Story::begin();
    story.backends.inherit(BackendId(7), address(1), story.now);
    assert_eq!(story.passes(1), [(1, Live)]);
}

#[test]
fn a_backend_that_returns_keeps_its_id_and_lives_at_once() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.passes(1);
    story.passes(2);
    let id = story.id(1);
    story.answer(&[2]);
    assert_eq!(story.answer(&[1, 2]), [(1, Live), (2, Live)]);
    assert_eq!(story.id(1), id);
}

#[test]
fn a_backend_that_is_not_known_to_live_goes_with_the_answer() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.fails(2);
    story.fails(2);
    assert_eq!(story.answer(&[3]), [(3, Probing)]);
}

#[test]
fn an_inherited_backend_keeps_its_id_and_is_probed_before_it_lives() {
    let mut story = Story::begin();
    story.backends.inherit(BackendId(7), address(1), story.now);
    assert_eq!(states(&story.backends), [(1, Draining)]);
    assert!(!story.backends.snapshot().is_judged, "what is in force stays in force");
    assert_eq!(story.answer(&[1]), [(1, Probing)]);
    assert_eq!(story.passes(1), [(1, Live)]);
    assert_eq!(story.id(1), BackendId(7));
    assert!(story.backends.snapshot().is_judged);
}

/// The kernel keeps the earlier agent's set for as long.
#[test]
fn what_is_known_is_not_judged_by_the_first_probe_alone() {
    let mut story = Story::begin();
    for last in 1..=3 {
        story.backends.inherit(BackendId(last.into()), address(last), story.now);
    }
    story.answer(&[1, 2, 3]);
    story.passes(1);
    assert!(!story.backends.snapshot().is_judged, "two have not been probed");
    story.passes(2);
    story.fails(3);
    assert!(story.backends.snapshot().is_judged, "a backend that fails holds up nobody");
}

#[test]
fn nothing_is_put_in_force_while_one_that_may_live_is_unjudged() {
    let mut story = Story::begin();
    story.answer(&[1, 2]);
    story.fails(1);
    assert_eq!(story.fails(1), [(1, Down), (2, Probing)]);
    story.fails(2);
    assert!(!story.backends.snapshot().is_judged);
    story.fails(2);
    assert!(story.backends.snapshot().is_judged, "none lives, and that is certain");
}

/// What is said of each change that this brings about.
fn reasons(story: &mut Story, cause: &Cause<'_>, happens: impl FnOnce(&mut Story)) -> Vec<String> {
    let before = story.backends.snapshot();
    happens(story);
    let changes = story.backends.snapshot().changes_since(&before);
    changes.iter().map(|change| format!("{change}: {}", cause.of(change))).collect()
}

#[test]
fn each_change_has_its_own_reason() {
    let mut story = Story::begin();
    story.answer(&[1]);
    story.passes(1);
    let answered = reasons(&mut story, &Cause::Answered, |story| drop(story.answer(&[2])));
    assert_eq!(answered, ["10.0.0.2:443: new -> probing: it is in the answer"]);

    let passed = Finding { backend: address(2), result: Ok(()), took: Duration::ZERO };
    let probed = reasons(&mut story, &Cause::Probed(&passed), |story| drop(story.passes(2)));
    assert_eq!(
        probed,
        [
            "10.0.0.1:443: live -> draining: it left the answer, and another lives",
            "10.0.0.2:443: probing -> live: it passes its probes",
        ]
    );

    story.fails(2);
    let result = Err(std::io::Error::other("refused").into());
    let failed = Finding { backend: address(2), result, took: Duration::ZERO };
    let probed = reasons(&mut story, &Cause::Probed(&failed), |story| drop(story.fails(2)));
    assert_eq!(
        probed,
        [
            "10.0.0.1:443: draining -> live: it stands in: none of the answer lives",
            "10.0.0.2:443: live -> down: its probes fail: refused",
        ]
    );

    story.passes(2);
    let waited = reasons(&mut story, &Cause::Waited, |story| {
        story.backends.tick(story.now + DRAIN_GRACE);
    });
    assert_eq!(waited, ["10.0.0.1:443: draining -> gone: its time to drain is over"]);
}

#[test]
fn an_inherited_backend_that_is_not_in_the_answer_drains() {
    let mut story = Story::begin();
    story.backends.inherit(BackendId(7), address(1), story.now);
    story.now += Duration::from_millis(5);
    assert_eq!(story.answer(&[2]), [(1, Draining), (2, Probing)]);
}

#[test]
fn an_answer_too_long_is_cut_and_says_so() {
    let mut story = Story::begin();
    let answer = (0..=u8::MAX).map(address).collect();
    let left_out = story.backends.answered(&answer, story.now);
    assert_eq!(left_out, 256 - MAX_BACKENDS);
    assert_eq!(story.backends.snapshot().backends.len(), MAX_BACKENDS);
}

#[test]
fn a_change_names_the_backend_and_both_states() {
    let mut story = Story::begin();
    story.answer(&[1]);
    let before = story.backends.snapshot();
    story.passes(1);
    let changes = story.backends.snapshot().changes_since(&before);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].to_string(), "10.0.0.1:443: probing -> live");
    let changes = Snapshot::default().changes_since(&before);
    assert_eq!(changes[0].to_string(), "10.0.0.1:443: probing -> gone");
}

#[test]
fn dead_is_what_fails_in_the_answer_or_failed_when_it_left_and_not_what_merely_left() {
    let mut story = Story::begin();
    let dead = |story: &Story| story.backends.snapshot().dead();
    story.answer(&[1, 2, 3]);
    (1..=3).for_each(|last| drop(story.passes(last)));
    story.answer(&[1]);
    assert_eq!(dead(&story), BTreeSet::new(), "they drain");
    story.fails(2);
    story.fails(2);
    assert_eq!(states(&story.backends), [(1, Live), (3, Draining)]);
    assert_eq!(dead(&story), BTreeSet::from([address(2)]));
    story.backends.tick(story.now + DRAIN_GRACE);
    assert_eq!(states(&story.backends), [(1, Live)]);
    assert_eq!(dead(&story), BTreeSet::from([address(2)]), "3 passed to the end");
    story.fails(1);
    story.fails(1);
    assert_eq!(dead(&story), BTreeSet::from([address(1), address(2)]));
    story.answer(&[1, 2]);
    assert_eq!(dead(&story), BTreeSet::from([address(1)]), "2 is to be probed anew");
}
