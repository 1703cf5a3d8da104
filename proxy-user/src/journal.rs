//! What happened: one line of log, one entry of the list in `/status` and one count for each
//! event, from one place, so that they never say different things.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::status::Event;

const KEPT: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Dns,
    Backend,
    Datapath,
    Lifecycle,
}

/// A handle: clones write to the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: Arc<Mutex<Entries>>,
    /// What its entries are about, where there are several of a kind.
    about: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Entries {
    newest: VecDeque<Event>,
    counts: BTreeMap<Kind, u64>,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Backend => "backend",
            Self::Datapath => "datapath",
            Self::Lifecycle => "lifecycle",
        }
    }
}

impl Journal {
    /// The same journal, for one of several.
    pub fn about(&self, what: &impl fmt::Display) -> Self {
        Self { entries: self.entries.clone(), about: Some(what.to_string().into()) }
    }

    pub fn note(&self, kind: Kind, message: impl Into<String>) {
        let message = self.whole(message.into());
        tracing::info!(kind = kind.as_str(), "{message}");
        self.keep(kind, message);
    }

    /// For what somebody should look at.
    pub fn warn(&self, kind: Kind, message: impl Into<String>) {
        let message = self.whole(message.into());
        tracing::warn!(kind = kind.as_str(), "{message}");
        self.keep(kind, message);
    }

    /// The newest last.
    pub fn events(&self) -> Vec<Event> {
        self.entries().newest.iter().cloned().collect()
    }

    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        self.entries().counts.clone()
    }

    fn whole(&self, message: String) -> String {
        match &self.about {
            Some(about) => format!("{about}: {message}"),
            None => message,
        }
    }

    fn keep(&self, kind: Kind, message: String) {
        let mut entries = self.entries();
        *entries.counts.entry(kind).or_default() += 1;
        if entries.newest.len() == KEPT {
            entries.newest.pop_front();
        }
        entries.newest.push_back(Event {
            at: Timestamp::now(),
            kind: kind.as_str().into(),
            message,
        });
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_says_which_it_is_in_the_same_journal() {
        let journal = Journal::default();
        journal.about(&"a.example").note(Kind::Dns, "no answer");
        journal.note(Kind::Lifecycle, "ended");
        let said: Vec<_> = journal.events().into_iter().map(|event| event.message).collect();
        assert_eq!(said, ["a.example: no answer", "ended"]);
    }

    #[test]
    fn the_oldest_events_give_way_and_are_still_counted() {
        let journal = Journal::default();
        for number in 0..KEPT + 3 {
            journal.note(Kind::Dns, number.to_string());
        }
        journal.warn(Kind::Backend, "last");
        let events = journal.events();
        assert_eq!(events.len(), KEPT);
        assert_eq!(events[0].message, "4");
        assert_eq!(events[KEPT - 1].message, "last");
        assert_eq!(journal.counts()[&Kind::Dns], KEPT as u64 + 3);
    }
}
