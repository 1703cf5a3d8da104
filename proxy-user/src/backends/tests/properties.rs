//! What holds after any sequence of answers, findings and time.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::subsequence};

use super::*;

#[derive(Clone, Debug)]
enum Input {
    Inherited(u16, u8, Legacy),
    Answered(Vec<u8>),
    Probed(u8, bool),
    Waited(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let address = 1..=6u8;
    let legacy = prop_oneof![Just(Legacy::InForce), Just(Legacy::HasFlows)];
    prop_oneof![
        1 => (0..8u16, address.clone(), legacy)
            .prop_map(|(id, last, legacy)| Input::Inherited(id, last, legacy)),
        3 => subsequence((1..=6).collect::<Vec<u8>>(), 1..=6).prop_map(Input::Answered),
        6 => (address, any::<bool>()).prop_map(|(last, passed)| Input::Probed(last, passed)),
        1 => (1..20u64).prop_map(Input::Waited),
        1 => (1..5_000u64).prop_map(Input::Waited),
    ]
}

fn feed(story: &mut Story, input: &Input) {
    match input {
        Input::Inherited(id, last, legacy) => story.inherits(*id, *last, *legacy),
        Input::Answered(lasts) => drop(story.answer(lasts)),
        Input::Probed(last, true) => drop(story.passes(*last)),
        Input::Probed(last, false) => drop(story.fails(*last)),
        Input::Waited(seconds) => drop(story.waits(Duration::from_secs(*seconds))),
    }
}

/// Written apart from the machine: what an outsider knows of each address.
#[derive(Default)]
struct Witness {
    seen: BTreeMap<SocketAddr, Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    passed: bool,
    failed_in_a_row: u32,
    /// Answers that lacked it since the last that had it, or since it was inherited.
    missed_in_a_row: u32,
}

impl Seen {
    fn lives(self) -> bool {
        self.passed && self.failed_in_a_row < 2
    }
}

impl Witness {
    fn see(&mut self, input: &Input) {
        match input {
            Input::Probed(last, passed) => self.probed(address(*last), *passed),
            Input::Answered(lasts) => {
                for last in lasts {
                    self.seen.entry(address(*last)).or_default();
                }
                for (address, seen) in &mut self.seen {
                    let has = lasts.iter().any(|last| super::address(*last) == *address);
                    seen.missed_in_a_row = if has { 0 } else { seen.missed_in_a_row + 1 };
                }
            }
            Input::Inherited(_, last, _) => {
                self.seen.entry(address(*last)).or_default();
            }
            Input::Waited(_) => {}
        }
    }

    fn probed(&mut self, address: SocketAddr, passed: bool) {
        let Some(seen) = self.seen.get_mut(&address) else { return };
        seen.passed |= passed;
        seen.failed_in_a_row = if passed { 0 } else { seen.failed_in_a_row + 1 };
    }

    /// A backend that was forgotten must pass anew.
    fn forget(&mut self, shown: &Snapshot) {
        self.seen.retain(|address, _| shown.backends.iter().any(|known| known.address == *address));
    }
}

/// After one input: what was, what is, and what a bystander knows.
struct Step<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    witness: &'a Witness,
}

impl Step<'_> {
    fn seen(&self, backend: &Backend) -> Seen {
        self.witness.seen.get(&backend.address).copied().unwrap_or_default()
    }

    fn gone(&self) -> impl Iterator<Item = &Backend> {
        let is_known = |backend: &Backend| {
            self.after.backends.iter().any(|known| known.address == backend.address)
        };
        self.before.backends.iter().filter(move |backend| !is_known(backend))
    }

    fn who_lives(&self) -> Result<(), TestCaseError> {
        for live in self.after.live() {
            prop_assert!(self.seen(live).passed, "live without a probe");
            let fails = !self.seen(live).lives();
            prop_assert_eq!(fails, self.after.last_resort == Some(live.address));
        }
        let up = self.after.backends.iter().filter(|backend| self.seen(backend).lives()).count();
        prop_assert!(up == 0 || self.after.live().count() > 0, "one passes, and none is used");
        prop_assert!(self.after.last_resort.is_none() || up == 0, "there is a better one");
        Ok(())
    }

    /// Once somebody was there to turn to, that ends only with an answer that lacks all those.
    fn nobody_is_left_alone(&self) -> Result<(), TestCaseError> {
        if self.before.live().count() > 0 && self.after.live().count() == 0 {
            for live in self.before.live() {
                prop_assert!(self.gone().any(|gone| gone.address == live.address));
                prop_assert!(self.seen(live).missed_in_a_row > 0);
            }
        }
        Ok(())
    }

    fn who_goes(&self) -> Result<(), TestCaseError> {
        for gone in self.gone() {
            let seen = self.seen(gone);
            let missing = seen.missed_in_a_row > 0 || !gone.resolved;
            prop_assert!(missing, "{gone:?} was in the answer");
            prop_assert!(gone.state == Draining || seen.failed_in_a_row >= 2, "{gone:?}");
            prop_assert!(self.after.doomed.contains_key(&gone.address));
        }
        for draining in self.after.backends.iter().filter(|backend| backend.state == Draining) {
            let was = self.before.backends.iter().find(|old| old.address == draining.address);
            if was.is_some_and(|was| was.state == Live && was.resolved) {
                prop_assert!(false, "dropped by one answer: {draining:?}");
            }
        }
        Ok(())
    }

    fn who_is_ended(&self) -> Result<(), TestCaseError> {
        for live in self.after.live() {
            prop_assert!(!self.after.doomed.contains_key(&live.address), "{live:?}");
        }
        Ok(())
    }

    fn ids_and_generation(&self) -> Result<(), TestCaseError> {
        let (before, after) = (self.before, self.after);
        let ids: BTreeSet<_> = after.backends.iter().map(|backend| backend.id).collect();
        prop_assert_eq!(ids.len(), after.backends.len(), "ids are unique");
        for backend in &after.backends {
            let same = before.backends.iter().find(|old| old.address == backend.address);
            prop_assert!(same.is_none_or(|old| old.id == backend.id), "ids are stable");
        }
        let as_before = Snapshot { generation: before.generation, ..after.clone() };
        let changed = u64::from(as_before != *before);
        prop_assert_eq!(after.generation, before.generation + changed);
        if !before.is_judged && after.is_judged && after.live().count() == 0 {
            let fails = |known: &Backend| known.state == Down;
            prop_assert!(after.backends.iter().all(fails), "nothing in force too early");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_snapshot_holds_its_promises(
        inputs in prop::collection::vec(input(), 0..120),
    ) {
        let mut story = Story::begin();
        let mut witness = Witness::default();
        for input in &inputs {
            let before = story.backends.snapshot();
            feed(&mut story, input);
            witness.see(input);
            let after = story.backends.snapshot();
            let step = Step { before: &before, after: &after, witness: &witness };
            step.who_lives()?;
            step.nobody_is_left_alone()?;
            step.who_goes()?;
            step.who_is_ended()?;
            step.ids_and_generation()?;
            witness.forget(&after);
        }
    }

    /// A resolver that leaves some out now and then: none is dropped while it has each of them
    /// once in so many answers.
    #[test]
    fn an_answer_that_lacks_some_now_and_then_drops_none(
        answers in prop::collection::vec(subsequence(vec![1, 2, 3, 4u8], 0..=4), 1..60),
        pause in 0..600u64,
    ) {
        let mut story = Story::with_live(&[1, 2, 3, 4]);
        for (round, answer) in answers.iter().enumerate() {
            if round % (ABSENT_ANSWERS as usize) == 0 {
                story.answer(&[1, 2, 3, 4]);
            } else {
                story.answer(answer);
            }
            story.waits(Duration::from_secs(pause));
            prop_assert_eq!(story.backends.snapshot().live().count(), 4);
        }
    }
}
