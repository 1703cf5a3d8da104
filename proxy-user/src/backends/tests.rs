mod faults;
mod leaving;
mod properties;
mod zone;

use std::{num::NonZeroU8, time::Duration};

use super::*;
use crate::{
    health::{Finding, Thresholds},
    status::BackendState,
    zone::Zone,
};
use BackendState::{Down, Draining, Live, Probing};

const GRACE: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(18);
/// Between two answers, and between two probes.
const STEP: Duration = Duration::from_secs(2);

fn rules() -> Rules {
    Rules {
        thresholds: Thresholds { fall: NonZeroU8::new(2).unwrap(), rise: NonZeroU8::MIN },
        absent_grace: GRACE,
        drain: DRAIN,
        patience: PATIENCE,
        zone: Zone::default(),
        prefer_zone: false,
    }
}

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
        Self::with(rules())
    }

    fn with(rules: Rules) -> Self {
        Self { backends: Backends::new(rules, 7), now: Instant::now() }
    }

    /// All of these are in the answer, and live.
    fn with_live(lasts: &[u8]) -> Self {
        let mut story = Self::begin();
        story.answer(lasts);
        lasts.iter().for_each(|last| drop(story.passes(*last)));
        story
    }

    fn states(&self) -> Vec<(u8, BackendState)> {
        states(&self.backends)
    }

    fn answer(&mut self, lasts: &[u8]) -> Vec<(u8, BackendState)> {
        let answer = lasts.iter().map(|last| address(*last)).collect();
        self.backends.answered(&answer, self.now);
        self.states()
    }

    /// The same answer again and again, until what it lacks is gone from it.
    fn settles(&mut self, lasts: &[u8]) -> Vec<(u8, BackendState)> {
        self.answer(lasts);
        self.waits(GRACE);
        for _ in 1..ABSENT_ANSWERS {
            self.answer(lasts);
        }
        self.states()
    }

    fn waits(&mut self, time: Duration) -> Vec<(u8, BackendState)> {
        self.now += time;
        self.backends.tick(self.now);
        self.states()
    }

    fn probe(&mut self, last: u8, outcome: Outcome) -> Vec<(u8, BackendState)> {
        let probed = Probed { begun: self.now, at: self.now, segment: 0 };
        self.backends.probed(address(last), outcome, probed);
        self.states()
    }

    fn passes(&mut self, last: u8) -> Vec<(u8, BackendState)> {
        self.probe(last, Outcome::Passed)
    }

    fn fails(&mut self, last: u8) -> Vec<(u8, BackendState)> {
        self.probe(last, Outcome::Failed)
    }

    fn meets_a_stranger(&mut self, last: u8) -> Vec<(u8, BackendState)> {
        self.probe(last, Outcome::Stranger)
    }

    /// It fails until it is down, while this other one passes.
    fn falls(&mut self, last: u8, other: u8) -> Vec<(u8, BackendState)> {
        self.fails(last);
        self.passes(other);
        self.fails(last)
    }

    fn doomed(&self) -> Vec<(SocketAddr, Doom)> {
        self.backends.snapshot().doomed.iter().map(|(at, doom)| (*at, *doom)).collect()
    }

    fn id(&self, last: u8) -> BackendId {
        self.backends.known[&address(last)].id
    }

    fn inherits(&mut self, id: u16, last: u8, legacy: Legacy) {
        self.backends.inherit(BackendId(id), address(last), legacy, self.now);
    }
}

#[test]
fn a_backend_lives_once_it_passed_and_is_down_once_it_failed_often_enough() {
    let mut story = Story::begin();
    assert_eq!(story.answer(&[1, 2]), [(1, Probing), (2, Probing)]);
    story.passes(2);
    assert_eq!(story.passes(1), [(1, Live), (2, Live)]);
    assert_eq!(story.fails(1), [(1, Live), (2, Live)]);
    assert_eq!(story.fails(1), [(1, Down), (2, Live)]);
    assert_eq!(story.passes(1), [(1, Live), (2, Live)]);
}

#[test]
fn an_inherited_backend_that_passes_serves_before_the_first_answer() {
    for legacy in [Legacy::InForce, Legacy::HasFlows] {
        let mut story = Story::begin();
        story.inherits(7, 1, legacy);
        assert_eq!(story.passes(1), [(1, Live)]);
    }
}

#[test]
fn an_inherited_backend_keeps_its_id_and_is_probed_before_it_lives() {
    let mut story = Story::begin();
    story.inherits(7, 1, Legacy::InForce);
    assert_eq!(story.states(), [(1, Probing)]);
    assert!(!story.backends.snapshot().is_judged, "what is in force stays in force");
    assert_eq!(story.answer(&[1]), [(1, Probing)]);
    assert_eq!(story.passes(1), [(1, Live)]);
    assert_eq!(story.id(1), BackendId(7));
    assert!(story.backends.snapshot().is_judged);
}

#[test]
fn what_an_earlier_agent_had_in_force_is_as_slow_to_go_and_what_only_has_flows_drains() {
    let mut story = Story::begin();
    story.inherits(7, 1, Legacy::InForce);
    story.inherits(8, 2, Legacy::HasFlows);
    story.answer(&[3]);
    (1..=3).for_each(|last| drop(story.passes(last)));
    assert_eq!(story.states(), [(1, Live), (2, Draining), (3, Live)]);
    assert_eq!(story.settles(&[3]), [(1, Draining), (2, Draining), (3, Live)]);
}

/// The kernel keeps the earlier agent's set for as long.
#[test]
fn what_is_known_is_not_judged_by_the_first_probe_alone() {
    let mut story = Story::begin();
    (1..=3).for_each(|last| story.inherits(last.into(), last, Legacy::InForce));
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

fn finding(last: u8, result: Result<(), &str>) -> Finding {
    let result = result.map_err(|error| std::io::Error::other(error).into());
    Finding { backend: address(last), result, took: Duration::ZERO, segment: 0 }
}

#[test]
fn each_change_has_its_own_reason() {
    let mut story = Story::with_live(&[1]);
    let answered = reasons(&mut story, &Cause::Answered, |story| drop(story.settles(&[2])));
    assert_eq!(answered, ["10.0.0.2:443: new -> probing: it is in the answer"]);

    let passed = finding(2, Ok(()));
    let probed = reasons(&mut story, &Cause::Probed(&passed), |story| drop(story.passes(2)));
    assert_eq!(
        probed,
        [
            "10.0.0.1:443: live -> draining: it left the answer, and another lives",
            "10.0.0.2:443: probing -> live: it passes its probes",
        ]
    );

    let failed = finding(2, Err("refused"));
    let probed = reasons(&mut story, &Cause::Probed(&failed), |story| drop(story.falls(2, 1)));
    assert_eq!(
        probed,
        [
            "10.0.0.1:443: draining -> live: it stands in: none of the answer lives",
            "10.0.0.2:443: live -> down: its probes fail: refused",
        ]
    );

    story.passes(2);
    let waited = reasons(&mut story, &Cause::Waited, |story| drop(story.waits(2 * DRAIN)));
    assert_eq!(waited, ["10.0.0.1:443: draining -> gone: its time to drain is over"]);
}

#[test]
fn a_backend_that_is_gone_at_once_and_one_that_was_the_last_resort_say_so() {
    let mut story = Story::with_live(&[1, 2]);
    story.answer(&[2]);
    let failed = finding(1, Err("refused"));
    let probed = reasons(&mut story, &Cause::Probed(&failed), |story| drop(story.falls(1, 2)));
    let gone = "10.0.0.1:443: live -> gone: it is not in the answer, and its probes fail: refused";
    assert_eq!(probed, [gone]);

    story.answer(&[2, 3]);
    story.fails(2);
    story.fails(2);
    let passed = finding(3, Ok(()));
    let probed = reasons(&mut story, &Cause::Probed(&passed), |story| drop(story.passes(3)));
    assert_eq!(
        probed,
        [
            "10.0.0.2:443: live -> down: its probes fail, and another lives again",
            "10.0.0.3:443: probing -> live: it passes its probes",
        ]
    );
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
fn a_change_names_the_backend_and_both_states_and_is_counted_by_them() {
    let mut story = Story::begin();
    story.answer(&[1]);
    let before = story.backends.snapshot();
    story.passes(1);
    let changes = story.backends.snapshot().changes_since(&before);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].to_string(), "10.0.0.1:443: probing -> live");
    let mut transitions = Transitions::default();
    changes.iter().chain(&changes).for_each(|change| transitions.count(change));
    let changes = Snapshot::default().changes_since(&before);
    assert_eq!(changes[0].to_string(), "10.0.0.1:443: probing -> gone");
    transitions.count(&changes[0]);
    let counts: Vec<_> = transitions.all().collect();
    assert_eq!(counts, [("probing", "gone", 1), ("probing", "live", 2)]);
}
