//! Keeps the last good answer on disk, for an agent that starts while DNS is out.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    answer::Answer,
    saved::Saved,
    sieve::{Sieve, listed},
    store::Store,
};
use crate::journal::{Journal, Kind};

/// The age of an answer that does not change is known as well as this.
const REWRITE: Duration = Duration::from_secs(3_600);

/// Without a store it keeps nothing.
pub struct Keeper {
    store: Option<Store>,
    journal: Journal,
    last: Option<Written>,
    /// Why the newest write failed.
    error: Option<String>,
}

struct Written {
    addresses: BTreeSet<IpAddr>,
    at: Instant,
}

impl Keeper {
    pub fn new(store: Option<Store>, journal: Journal) -> Self {
        Self { store, journal, last: None, error: None }
    }

    /// What an earlier agent has saved, as far as it may serve.
    pub fn recall(&self, sieve: &Sieve) -> Option<Saved> {
        let store = self.store.as_ref()?;
        let saved = match store.load() {
            Ok(saved) => saved?,
            Err(why) => {
                self.ignored(store, &why.to_string());
                return None;
            }
        };
        let (addresses, refused) = sieve.sift(&saved.addresses);
        if !refused.is_empty() {
            self.ignored(store, &format!("refused addresses: {}", listed(&refused)));
        }
        (!addresses.is_empty()).then_some(Saved { addresses, ..saved })
    }

    /// Tries again with the next answer where it fails.
    pub async fn keep(&mut self, answer: &Answer) {
        let Some(store) = self.store.clone() else { return };
        let now = Instant::now();
        if !is_due(self.last.as_ref(), &answer.addresses, now) {
            return;
        }
        let addresses = answer.addresses.clone();
        let saved = Saved { addresses, written_at: Timestamp::now() };
        let path = store.path();
        let done = spawn_blocking(move || store.save(&saved)).await;
        match done.map_err(std::io::Error::from).flatten() {
            Ok(()) => {
                self.last = Some(Written { addresses: answer.addresses.clone(), at: now });
                self.error = None;
            }
            Err(error) => {
                self.failed(format!("{}: cannot be written: {error}", path.display()));
            }
        }
    }

    fn ignored(&self, store: &Store, why: &str) {
        let path = store.path();
        let message = format!("{}: the saved answer is ignored: {why}", path.display());
        self.journal.warn(Kind::Dns, message);
    }

    /// Changes only: a full disk is one line.
    fn failed(&mut self, error: String) {
        if self.error.as_ref() != Some(&error) {
            self.journal.warn(Kind::Dns, format!("the answer is not saved: {error}"));
        }
        self.error = Some(error);
    }
}

fn is_due(last: Option<&Written>, addresses: &BTreeSet<IpAddr>, now: Instant) -> bool {
    last.is_none_or(|last| last.addresses != *addresses || now >= last.at + REWRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(last: u8) -> Answer {
        Answer { addresses: BTreeSet::from([[10, 0, 0, last].into()]), ttl: Duration::ZERO }
    }

    fn sieve() -> Sieve {
        Sieve::new("0.0.0.0:443".parse().unwrap(), BTreeSet::new)
    }

    fn store(folder: &std::path::Path) -> Store {
        Store::open(folder, &"api.example".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_answer_is_written_when_its_addresses_change_and_hourly() {
        let now = Instant::now();
        let addresses = answer(1).addresses;
        let last = Written { addresses: addresses.clone(), at: now };
        assert!(is_due(None, &addresses, now));
        assert!(!is_due(Some(&last), &addresses, now + REWRITE - Duration::from_nanos(1)));
        assert!(is_due(Some(&last), &addresses, now + REWRITE));
        assert!(is_due(Some(&last), &answer(2).addresses, now));
    }

    #[tokio::test]
    async fn an_answer_that_was_kept_is_recalled_and_one_that_changed_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::default();
        let mut keeper = Keeper::new(Some(store(folder.path())), journal.clone());
        assert_eq!(keeper.recall(&sieve()), None);
        for last in [1, 2] {
            keeper.keep(&answer(last)).await;
            assert_eq!(keeper.recall(&sieve()).unwrap().addresses, answer(last).addresses);
        }
        assert!(journal.events().is_empty(), "{:?}", journal.events());
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_one_warning_and_is_tried_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        let journal = Journal::default();
        let mut keeper = Keeper::new(Some(store(&folder)), journal.clone());
        std::fs::remove_dir(&folder).unwrap();
        keeper.keep(&answer(1)).await;
        keeper.keep(&answer(1)).await;
        let events = journal.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].message.contains("api.example.json: cannot be written"), "{events:?}");
        std::fs::create_dir(&folder).unwrap();
        keeper.keep(&answer(1)).await;
        assert_eq!(keeper.recall(&sieve()).unwrap().addresses, answer(1).addresses);
    }

    #[tokio::test]
    async fn of_a_saved_answer_refused_addresses_and_of_a_bad_file_all_is_ignored_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::default();
        let mut keeper = Keeper::new(Some(store(folder.path())), journal.clone());
        let mixed: BTreeSet<IpAddr> =
            ["10.0.0.1", "127.0.0.1"].map(|address| address.parse().unwrap()).into();
        keeper.keep(&Answer { addresses: mixed, ttl: Duration::ZERO }).await;
        assert_eq!(keeper.recall(&sieve()).unwrap().addresses, answer(1).addresses);
        let path = store(folder.path()).path();
        std::fs::write(path, "no document").unwrap();
        assert_eq!(keeper.recall(&sieve()), None);
        let said: Vec<_> = journal.events().into_iter().map(|event| event.message).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].ends_with("refused addresses: 127.0.0.1 (loopback)"), "{said:?}");
        assert!(said[1].contains("no answer of an enigate agent"), "{said:?}");
    }
}
