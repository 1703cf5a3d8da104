//! Gives backends their small numbers. A number that was given back is given again as late as
//! possible: flows and counters of its last owner have the most time to end.

use std::collections::BTreeSet;

use proxy_common::backend::{BackendId, MAX_BACKEND_IDS};

#[derive(Debug, Default)]
pub struct Ids {
    taken: BTreeSet<BackendId>,
    next: u16,
}

impl Ids {
    pub fn take(&mut self) -> Option<BackendId> {
        let limit = limit();
        let round = (0..limit).map(|step| BackendId((self.next + step) % limit));
        let id = round.into_iter().find(|id| !self.taken.contains(id))?;
        self.next = (id.0 + 1) % limit;
        self.taken.insert(id);
        Some(id)
    }

    /// False if it is taken, or is no id that the flow table can hold.
    pub fn take_this(&mut self, id: BackendId) -> bool {
        id.0 < limit() && self.taken.insert(id)
    }

    pub fn give_back(&mut self, id: BackendId) {
        self.taken.remove(&id);
    }
}

fn limit() -> u16 {
    u16::try_from(MAX_BACKEND_IDS).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_given_back_comes_round_last() {
        let mut ids = Ids::default();
        let first = ids.take().unwrap();
        ids.give_back(first);
        let others: Vec<_> = (1..limit()).map(|_| ids.take().unwrap()).collect();
        assert!(!others.contains(&first));
        assert_eq!(ids.take(), Some(first));
        assert_eq!(ids.take(), None, "all are taken");
    }

    #[test]
    fn an_inherited_id_is_not_given_to_another() {
        let mut ids = Ids::default();
        assert!(ids.take_this(BackendId(0)));
        assert!(!ids.take_this(BackendId(0)));
        assert!(!ids.take_this(BackendId(limit())));
        assert_eq!(ids.take(), Some(BackendId(1)));
    }
}
