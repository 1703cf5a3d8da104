//! Ends relayed connections that have to: of backends that are down or have drained, and those that
//! are too old. The packet path's sweep does the same for the flow table.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    account::Account,
    age::{MaxAge, luck},
    ledger::Ledger,
    tally::Failure,
};
use crate::backends::{Doom, Snapshot};

/// How late a connection may end.
const PACE: Duration = Duration::from_millis(50);
/// Of so many looks, all but one are left out while no backend's connections are being ended.
const REST: u32 = 20;

pub struct Reaper {
    pub ledger: Arc<Ledger>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub max_age: Option<MaxAge>,
    /// Over how long the connections of a doomed backend end.
    pub window: Duration,
}

/// Since when, and why.
#[derive(Debug, Default)]
struct Dooms(BTreeMap<SocketAddr, (Instant, Doom)>);

impl Reaper {
    /// Ends when nobody publishes snapshots any more.
    pub async fn run(mut self) {
        let mut dooms = Dooms::default();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rest = 0;
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => self.heard(&mut dooms),
                    Err(_gone) => return,
                },
                _ = pace.tick() => {
                    rest = (rest + 1) % REST;
                    let now = Instant::now();
                    if rest == 0 || dooms.are_fresh(self.window, now) {
                        self.reap(&dooms, now);
                    }
                }
            }
        }
    }

    fn heard(&mut self, dooms: &mut Dooms) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        dooms.learn(&snapshot.doomed, Instant::now());
        self.ledger.keep_only(|address| {
            snapshot.backends.iter().any(|backend| backend.address == *address)
        });
    }

    fn reap(&self, dooms: &Dooms, now: Instant) {
        self.ledger.for_each(|account| {
            let doom = dooms.of(account, self.window, now);
            if let Some(why) = doom.or_else(|| self.too_old(account, now)) {
                account.end(why);
            }
        });
    }

    fn too_old(&self, account: &Account, now: Instant) -> Option<Failure> {
        let age = now.saturating_duration_since(account.started());
        self.max_age.filter(|max_age| age >= max_age.of(&account.id)).map(|_| Failure::MaxAge)
    }
}

impl Dooms {
    /// One that is no longer doomed is forgiven.
    fn learn(&mut self, doomed: &BTreeMap<SocketAddr, Doom>, now: Instant) {
        self.0.retain(|address, (_, doom)| doomed.get(address) == Some(doom));
        for (address, doom) in doomed {
            self.0.entry(*address).or_insert((now, *doom));
        }
    }

    /// The connections of some are still to end.
    fn are_fresh(&self, window: Duration, now: Instant) -> bool {
        self.0.values().any(|(since, _)| now < *since + window + 2 * PACE)
    }

    /// Why it must end now, if it must; those of one backend one after the other within the window.
    fn of(&self, account: &Account, window: Duration, now: Instant) -> Option<Failure> {
        let (since, doom) = self.0.get(&account.backend())?;
        let due = *since + window.mul_f64(luck(&account.id));
        (now >= due).then_some(match doom {
            Doom::Down => Failure::BackendDown,
            Doom::Drained => Failure::Drained,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::{
        account::{Caller, Led},
        ledger::Entry,
    };

    const WINDOW: Duration = Duration::from_secs(2);

    fn address(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    fn enter(ledger: &Arc<Ledger>, backend: SocketAddr) -> Entry {
        let caller = Caller { client: backend, listen: backend, consumer: None, server_name: None };
        ledger.enter(caller, Led { backend, source: backend }, None)
    }

    fn reaper(max_age: Option<MaxAge>) -> Reaper {
        let (_, snapshots) = watch::channel(Arc::default());
        Reaper { ledger: Arc::default(), snapshots, max_age, window: WINDOW }
    }

    fn ended(entries: &[Entry]) -> Vec<Failure> {
        entries.iter().filter_map(|entry| entry.ordered()).collect()
    }

    #[test]
    fn the_connections_of_a_doomed_backend_end_within_the_window_and_no_others() {
        let reaper = reaper(None);
        let doomed: Vec<_> = (0..1_000).map(|_| enter(&reaper.ledger, address(1))).collect();
        let others: Vec<_> = (0..10).map(|_| enter(&reaper.ledger, address(2))).collect();
        let (mut dooms, now) = (Dooms::default(), Instant::now());
        dooms.learn(&[(address(1), Doom::Down)].into(), now);
        reaper.reap(&dooms, now + WINDOW / 2);
        let half = ended(&doomed).len();
        assert!((400..600).contains(&half), "{half} of 1000 after half of the window");
        dooms.learn(&[(address(1), Doom::Down)].into(), now + WINDOW);
        reaper.reap(&dooms, now + WINDOW);
        assert_eq!(ended(&doomed), vec![Failure::BackendDown; 1_000]);
        assert!(ended(&others).is_empty());
    }

    #[test]
    fn a_backend_that_recovers_keeps_what_it_still_has() {
        let reaper = reaper(None);
        let entries: Vec<_> = (0..100).map(|_| enter(&reaper.ledger, address(1))).collect();
        let (mut dooms, now) = (Dooms::default(), Instant::now());
        dooms.learn(&[(address(1), Doom::Drained)].into(), now);
        dooms.learn(&BTreeMap::new(), now);
        reaper.reap(&dooms, now + WINDOW);
        assert!(ended(&entries).is_empty());
    }

    #[test]
    fn old_connections_end_around_the_age() {
        let reaper = reaper(Some(MaxAge::new(Duration::from_secs(100))));
        let entries: Vec<_> = (0..100).map(|_| enter(&reaper.ledger, address(1))).collect();
        let started = entries[0].started();
        reaper.reap(&Dooms::default(), started + Duration::from_secs(89));
        assert!(ended(&entries).is_empty());
        reaper.reap(&Dooms::default(), started + Duration::from_secs(112));
        assert_eq!(ended(&entries), vec![Failure::MaxAge; 100]);
    }
}
