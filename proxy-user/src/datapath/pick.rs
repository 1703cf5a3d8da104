//! Which live backends to try for a connection, in order: pure but for the dice.

use fastrand::Rng;

use crate::backends::{Backend, Snapshot};

/// Backends that one connection tries before it gives up.
const ATTEMPTS: usize = 3;

/// Of those that are to be chosen from, and that suit the client best, two at random, the one with
/// fewer open connections first; then others at random, and those that suit less; then the other live ones, for where none of those can be reached.
pub fn candidates(
    snapshot: &Snapshot,
    open: impl Fn(&Backend) -> u64,
    suits: impl Fn(&Backend) -> bool,
    dice: &mut Rng,
) -> Vec<Backend> {
    let mut order: Vec<Backend> = snapshot.choices().copied().collect();
    dice.shuffle(&mut order);
    order.sort_by_key(|backend| !suits(backend));
    if let [first, second, ..] = order.as_mut_slice()
        && suits(first) == suits(second)
        && open(second) < open(first)
    {
        std::mem::swap(first, second);
    }
    let mut others: Vec<_> =
        snapshot.live().filter(|live| !order.contains(live)).copied().collect();
    dice.shuffle(&mut others);
    order.extend(others);
    order.truncate(ATTEMPTS);
    order
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::SocketAddr};

    use proptest::prelude::{
        Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };
    use proxy_common::backend::BackendId;

    use super::*;
    use crate::status::BackendState;

    fn snapshot(states: &[BackendState]) -> Snapshot {
        let backend = |(id, state): (u16, &BackendState)| Backend {
            id: BackendId(id),
            address: SocketAddr::from(([10, 0, 0, 1], id + 1)),
            state: *state,
            resolved: true,
            own_zone: id % 2 == 0,
            segment: 0,
        };
        let backends = (0..).zip(states).map(backend).collect();
        Snapshot { generation: 1, is_judged: true, backends, ..Snapshot::default() }
    }

    fn state() -> impl Strategy<Value = BackendState> {
        use BackendState::{Down, Draining, Live, Probing};
        prop_oneof![Just(Probing), Just(Live), Just(Draining), Just(Down)]
    }

    proptest! {
        #[test]
        fn only_live_backends_are_tried_each_once_and_never_the_busiest_first(
            states in prop::collection::vec(state(), 0..8),
            open in prop::collection::vec(0..5u64, 8),
            seed: u64,
        ) {
            let snapshot = snapshot(&states);
            let load = |backend: &Backend| open[usize::from(backend.id.0)];
            let order = candidates(&snapshot, load, |_| true, &mut Rng::with_seed(seed));
            let live = snapshot.live().count();
            prop_assert_eq!(order.len(), live.min(ATTEMPTS));
            prop_assert!(order.iter().all(|backend| backend.state == BackendState::Live));
            let ids: BTreeSet<_> = order.iter().map(|backend| backend.id).collect();
            prop_assert_eq!(ids.len(), order.len());
            if let [first, second, ..] = order.as_slice() {
                prop_assert!(load(first) <= load(second));
            }
        }
    }

    #[test]
    fn the_own_zone_comes_first_and_the_others_after_it() {
        let live = snapshot(&[BackendState::Live; 3]);
        let snapshot = Snapshot { prefers_own_zone: true, ..live };
        for seed in 0..50 {
            let order = candidates(&snapshot, |_| 0, |_| true, &mut Rng::with_seed(seed));
            let near: Vec<_> = order.iter().map(|backend| backend.own_zone).collect();
            assert_eq!(near, [true, true, false]);
        }
    }

    #[test]
    fn what_suits_comes_first_however_busy_it_is() {
        let snapshot = snapshot(&[BackendState::Live; 4]);
        let (open, suits) =
            (|backend: &Backend| u64::from(backend.id.0), |backend: &Backend| backend.id.0 > 1);
        for seed in 0..50 {
            let order = candidates(&snapshot, open, suits, &mut Rng::with_seed(seed));
            let ids: Vec<_> = order.iter().map(|backend| backend.id.0).collect();
            assert_eq!(
                ids[..2],
                [2, 3],
                "of those that suit, the one with fewer connections first"
            );
        }
    }

    #[test]
    fn every_live_backend_has_its_turn() {
        let snapshot = snapshot(&[BackendState::Live; 4]);
        let mut dice = Rng::with_seed(1);
        let firsts: BTreeSet<_> =
            (0..200).map(|_| candidates(&snapshot, |_| 0, |_| true, &mut dice)[0].id).collect();
        assert_eq!(firsts.len(), 4);
    }
}
