//! The VPC's private zone: what the resolver answers, changeable while it runs.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A handle: clones share one zone.
#[derive(Clone, Debug)]
pub struct Zone(Arc<Mutex<Records>>);

/// What the resolver does in place of answering as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    ServFail,
    NxDomain,
    /// The name exists, without any address.
    Empty,
    Silence,
    /// Over UDP; TCP has the whole answer.
    Truncated,
    /// Three aliases with the zone's TTL, then addresses with a TTL of a day.
    Chain,
    /// Some of the addresses, each time others.
    Subset,
}

#[derive(Debug)]
struct Records {
    ttl: Duration,
    names: BTreeMap<String, Vec<IpAddr>>,
    queries: u64,
    over_tcp: u64,
    lie: Option<Lie>,
    told: Option<Instant>,
}

impl Zone {
    pub fn new(ttl: Duration) -> Self {
        let (names, told) = (BTreeMap::new(), None);
        Self(Arc::new(Mutex::new(Records { ttl, names, queries: 0, over_tcp: 0, lie: None, told })))
    }

    /// Replaces all addresses of a name in one go.
    pub fn set(&self, name: &str, addresses: Vec<IpAddr>) {
        let mut records = self.records();
        records.names.insert(key(name), addresses);
        records.told = None;
    }

    /// When somebody first heard what was set last.
    pub fn told(&self) -> Option<Instant> {
        self.records().told
    }

    /// From now on the name does not exist.
    pub fn remove(&self, name: &str) {
        self.records().names.remove(&key(name));
    }

    pub fn set_ttl(&self, ttl: Duration) {
        self.records().ttl = ttl;
    }

    pub fn ttl(&self) -> Duration {
        self.records().ttl
    }

    /// From now on; `None` is the truth again.
    pub fn lie(&self, lie: Option<Lie>) {
        self.records().lie = lie;
    }

    pub(crate) fn present_lie(&self) -> Option<Lie> {
        self.records().lie
    }

    /// Of the questions, those that came over TCP.
    pub fn queries_over_tcp(&self) -> u64 {
        self.records().over_tcp
    }

    pub(crate) fn asked_over_tcp(&self) {
        self.records().over_tcp += 1;
    }

    /// Questions answered so far, of whatever type.
    pub fn queries(&self) -> u64 {
        self.records().queries
    }

    /// What the name has now; `None` where it does not exist.
    pub fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.records().names.get(&key(name)).cloned()
    }

    /// Answers one question: like the VPC resolver, each time in another order.
    pub(crate) fn answer(&self, name: &str) -> Option<(Vec<IpAddr>, Duration)> {
        let mut records = self.records();
        records.queries += 1;
        let turn = usize::try_from(records.queries).unwrap_or_default();
        let mut addresses = records.names.get(&key(name))?.clone();
        let first = turn % addresses.len().max(1);
        addresses.rotate_left(first);
        records.told.get_or_insert_with(Instant::now);
        Some((addresses, records.ttl))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Vec<IpAddr> {
        vec![[10, 0, 21, 10].into(), [10, 0, 22, 10].into()]
    }

    #[test]
    fn a_name_is_found_in_any_case_and_with_a_final_dot() {
        let zone = Zone::new(Duration::from_secs(2));
        zone.set("Api.Example", addresses());
        let (answer, ttl) = zone.answer("aPI.example.").expect("the name exists");
        assert_eq!(answer.len(), 2);
        assert_eq!(ttl, Duration::from_secs(2));
    }

    #[test]
    fn each_answer_begins_with_another_address() {
        let zone = Zone::new(Duration::from_secs(2));
        zone.set("a", addresses());
        let first = zone.answer("a").expect("answer").0[0];
        let second = zone.answer("a").expect("answer").0[0];
        assert_ne!(first, second);
    }

    #[test]
    fn a_change_is_told_with_the_first_answer_after_it() {
        let zone = Zone::new(Duration::from_secs(2));
        zone.set("a", addresses());
        assert_eq!(zone.told(), None);
        zone.answer("a").expect("answer");
        let told = zone.told().expect("told");
        zone.answer("a").expect("answer");
        assert_eq!(zone.told(), Some(told));
        zone.set("a", Vec::new());
        assert_eq!(zone.told(), None);
    }

    #[test]
    fn unknown_and_removed_names_have_no_answer_but_count() {
        let zone = Zone::new(Duration::from_secs(2));
        zone.set("a", addresses());
        zone.remove("a");
        assert_eq!(zone.answer("a"), None);
        assert_eq!(zone.answer("b"), None);
        assert_eq!(zone.queries(), 2);
    }
}
