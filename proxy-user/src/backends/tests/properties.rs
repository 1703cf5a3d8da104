//! What holds after any sequence of answers, findings and time.

use proptest::{prelude::*, sample::subsequence};

use super::*;

#[derive(Clone, Debug)]
enum Input {
    Inherited(u16, u8),
    Answered(Vec<u8>),
    Probed(u8, bool),
    Waited(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let address = 1..=6u8;
    prop_oneof![
        1 => (0..8u16, address.clone()).prop_map(|(id, last)| Input::Inherited(id, last)),
        3 => subsequence((1..=6).collect::<Vec<u8>>(), 1..=6).prop_map(Input::Answered),
        6 => (address, any::<bool>()).prop_map(|(last, passed)| Input::Probed(last, passed)),
        1 => (1..90u64).prop_map(Input::Waited),
    ]
}

fn feed(story: &mut Story, input: &Input) {
    match input {
        Input::Inherited(id, last) => {
            story.backends.inherit(BackendId(*id), address(*last), story.now);
        }
        Input::Answered(lasts) => drop(story.answer(lasts)),
        Input::Probed(last, true) => drop(story.passes(*last)),
        Input::Probed(last, false) => drop(story.fails(*last)),
        Input::Waited(seconds) => {
            story.now += Duration::from_secs(*seconds);
            story.backends.tick(story.now);
        }
    }
}

/// Written apart from the machine: what an outsider knows of the backends that passed a probe.
#[derive(Default)]
struct Witness {
    passed: BTreeSet<SocketAddr>,
    last_answer: BTreeSet<SocketAddr>,
}

impl Witness {
    fn see(&mut self, input: &Input) {
        match input {
            Input::Probed(last, true) => drop(self.passed.insert(address(*last))),
            Input::Answered(lasts) => {
                self.last_answer = lasts.iter().map(|last| address(*last)).collect();
            }
            _ => {}
        }
    }

    /// A backend that was forgotten must pass anew.
    fn forget(&mut self, shown: &Snapshot) {
        self.passed.retain(|address| shown.backends.iter().any(|known| known.address == *address));
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
            for backend in after.live() {
                prop_assert!(witness.passed.contains(&backend.address), "live without a probe");
                let stands_in = !witness.last_answer.contains(&backend.address);
                prop_assert!(!(stands_in && after.live().any(|live| live.resolved)));
            }
            let drains = |known: &&Backend| known.state == Draining;
            if let Some(backend) = after.backends.iter().filter(drains).find(|known| witness.passed.contains(&known.address)) {
                prop_assert!(after.live().count() > 0, "{:?} could stand in", backend);
            }
            let ids: BTreeSet<_> = after.backends.iter().map(|backend| backend.id).collect();
            prop_assert_eq!(ids.len(), after.backends.len(), "ids are unique");
            let grown = after.generation - before.generation;
            let same = (&after.backends, after.is_judged) == (&before.backends, before.is_judged);
            prop_assert_eq!(grown, u64::from(!same));
            if !before.is_judged && after.is_judged && after.live().count() == 0 {
                let fails = |known: &Backend| known.state == Down;
                prop_assert!(after.backends.iter().all(fails), "nothing in force too early");
            }
            for backend in &after.backends {
                let same = before.backends.iter().find(|old| old.address == backend.address);
                prop_assert!(same.is_none_or(|old| old.id == backend.id), "ids are stable");
            }
            witness.forget(&after);
        }
    }
}
