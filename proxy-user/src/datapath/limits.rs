//! How many connections the listener carries at once: in all, from one source, and through one VPC
//! endpoint. Over a limit a connection is refused; nothing waits.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::tally::{Failure, lock};
use crate::config::{ConnectionLimit, VpceId};

#[derive(Debug)]
pub struct Limits {
    total: u64,
    is_total_given: bool,
    per_source: Option<ConnectionLimit>,
    per_vpce: Option<ConnectionLimit>,
    open: AtomicU64,
    sources: Mutex<HashMap<Source, u32>>,
    vpces: Mutex<HashMap<VpceId, u32>>,
}

/// Consumers' networks may overlap: the same address behind two VPC endpoints is two sources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    pub address: IpAddr,
    pub vpce: Option<VpceId>,
}

/// A place among all connections, until it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Limits>);

/// A place among those of the same source and the same VPC endpoint, until it is dropped.
#[derive(Debug)]
pub struct Place {
    limits: Arc<Limits>,
    // Boxed: mostly there is no limit, and nothing to remember.
    source: Option<Box<Source>>,
    vpce: Option<Box<VpceId>>,
}

impl Limits {
    pub fn new(
        total: Option<ConnectionLimit>,
        room: u64,
        per_source: Option<ConnectionLimit>,
        per_vpce: Option<ConnectionLimit>,
    ) -> Self {
        Self {
            total: total.map_or(room, |total| total.get().into()),
            is_total_given: total.is_some(),
            per_source,
            per_vpce,
            open: AtomicU64::new(0),
            sources: Mutex::default(),
            vpces: Mutex::default(),
        }
    }

    /// Somebody has said how many there may be in all; else it is what there is room for.
    pub const fn is_total_given(&self) -> bool {
        self.is_total_given
    }

    /// Before a byte is read.
    pub fn seat(self: &Arc<Self>) -> Result<Seat, Failure> {
        let seat = Seat(self.clone());
        if self.open.fetch_add(1, Relaxed) < self.total { Ok(seat) } else { Err(Failure::TooMany) }
    }

    /// Once it is known who asks.
    pub fn place(self: &Arc<Self>, source: Source) -> Result<Place, Failure> {
        // It gives back what it has been given, however far it came.
        let mut place = Place { limits: self.clone(), source: None, vpce: None };
        if let (Some(limit), Some(vpce)) = (self.per_vpce, &source.vpce) {
            let vpce = vpce.clone();
            enter(&self.vpces, &vpce, limit).ok_or(Failure::TooManyFromVpce)?;
            place.vpce = Some(Box::new(vpce));
        }
        if let Some(limit) = self.per_source {
            enter(&self.sources, &source, limit).ok_or(Failure::TooManyFromSource)?;
            place.source = Some(Box::new(source));
        }
        Ok(place)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            leave(&self.limits.sources, source.as_ref());
        }
        if let Some(vpce) = &self.vpce {
            leave(&self.limits.vpces, vpce.as_ref());
        }
    }
}

fn enter<K: Clone + Eq + Hash>(
    held: &Mutex<HashMap<K, u32>>,
    key: &K,
    limit: ConnectionLimit,
) -> Option<()> {
    let mut held = lock(held);
    match held.get_mut(key) {
        Some(count) if *count >= limit.get() => return None,
        Some(count) => *count += 1,
        None => {
            held.insert(key.clone(), 1);
        }
    }
    Some(())
}

/// One of whom nothing is left is forgotten: no more are known than connections are open.
fn leave<K: Eq + Hash>(held: &Mutex<HashMap<K, u32>>, key: &K) {
    let mut held = lock(held);
    match held.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            held.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(count: u32) -> Option<ConnectionLimit> {
        Some(count.to_string().parse().unwrap())
    }

    fn source(address: u8, vpce: Option<u8>) -> Source {
        let vpce = vpce.map(|id| format!("vpce-{id:017x}").parse().unwrap());
        Source { address: IpAddr::from([10, 0, 0, address]), vpce }
    }

    #[test]
    fn one_more_than_the_total_is_refused_until_one_has_gone() {
        let limits = Arc::new(Limits::new(None, 2, None, None));
        let [first, second] = [limits.seat().unwrap(), limits.seat().unwrap()];
        assert_eq!(limits.seat().unwrap_err(), Failure::TooMany);
        assert_eq!(limits.seat().unwrap_err(), Failure::TooMany, "a refusal takes no place");
        drop(first);
        limits.seat().unwrap();
        drop(second);
    }

    #[test]
    fn sources_and_vpc_endpoints_are_counted_apart() {
        let limits = Arc::new(Limits::new(None, 100, limit(1), limit(2)));
        let first = limits.place(source(1, Some(1))).unwrap();
        let second = limits.place(source(2, Some(1))).unwrap();
        let refused = |address, vpce| limits.place(source(address, Some(vpce))).unwrap_err();
        assert_eq!(refused(3, 1), Failure::TooManyFromVpce);
        let _same_address_elsewhere = limits.place(source(1, Some(2))).unwrap();
        assert_eq!(refused(1, 2), Failure::TooManyFromSource);
        assert_eq!(lock(&limits.vpces).len(), 2, "the refused one has given its place back");
        let _room_for_one_more = limits.place(source(3, Some(2))).unwrap();
        drop((first, second));
        let _there_is_room = limits.place(source(3, Some(1))).unwrap();
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let limits = Arc::new(Limits::new(None, 100, limit(5), limit(5)));
        drop([limits.place(source(1, Some(1))), limits.place(source(1, Some(1)))]);
        assert!(lock(&limits.sources).is_empty() && lock(&limits.vpces).is_empty());
    }

    #[test]
    fn where_no_limit_is_asked_for_nobody_is_counted() {
        let limits = Arc::new(Limits::new(None, 100, None, None));
        let _places: Vec<_> = (0..9).map(|_| limits.place(source(1, Some(1))).unwrap()).collect();
        assert!(lock(&limits.sources).is_empty() && lock(&limits.vpces).is_empty());
    }
}
