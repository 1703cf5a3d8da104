//! The core's surroundings.

extern crate std;

use core::{
    cell::{Cell, RefCell},
    ops::{Deref, DerefMut},
};
use std::{boxed::Box, collections::HashMap, rc::Rc, vec::Vec};

use proxy_common::{
    addr::Port,
    backend::{BackendId, BackendSet},
    config::{Config, Events, PortRange},
    counter::Counter,
    event::{Change, FlowEvent, Halves},
    flow::{Direction, Flow, FlowKey},
    stamp::Stamp,
    track::{Arm, Shift, Track, TrackId},
};

use super::{IFINDEX, LISTEN, PROXY, PROXY6, both};
use crate::{
    environment::{Environment, InsertError},
    exits::Known,
    handover::shift_of,
    seen::Seen,
};

pub struct FakeEnvironment {
    pub config: Option<Config>,
    pub set: BackendSet,
    pub flows: RefCell<HashMap<FlowKey, Rc<Cell<Flow>>>>,
    pub tracks: RefCell<HashMap<FlowKey, Track>>,
    pub arms: RefCell<HashMap<FlowKey, &'static Arm>>,
    pub capacity: usize,
    pub opened: RefCell<HashMap<BackendId, u64>>,
    pub closed: RefCell<HashMap<BackendId, u64>>,
    pub packets: RefCell<HashMap<(BackendId, u8), u64>>,
    pub events: RefCell<Vec<FlowEvent>>,
    pub counters: RefCell<HashMap<Counter, u64>>,
    exits: RefCell<HashMap<u32, Known>>,
    millis: Cell<u64>,
    chance: Cell<u32>,
}

impl FakeEnvironment {
    /// A host of both families, with `enis` ENIs in each: 1 and so on, and 101 and so on.
    pub fn with_enis(enis: u8) -> Self {
        let mut config = Config {
            ifindex: IFINDEX,
            listen: Port::new(LISTEN),
            sources: PortRange { first: 1024, len: 31_744 },
            events: Events::All,
            ..Config::default()
        };
        config.locals[0] = PROXY.into();
        config.locals[1] = PROXY6.into();
        let set = BackendSet::new(1, both(1..=enis));
        Self {
            config: Some(config),
            set,
            flows: RefCell::default(),
            tracks: RefCell::default(),
            arms: RefCell::default(),
            capacity: 1_000,
            opened: RefCell::default(),
            closed: RefCell::default(),
            packets: RefCell::default(),
            events: RefCell::default(),
            counters: RefCell::default(),
            exits: RefCell::default(),
            millis: Cell::new(1_000_000),
            chance: Cell::new(1),
        }
    }

    pub fn wait(&self, millis: u64) {
        self.millis.set(self.millis.get() + millis);
    }

    pub fn counted(&self, counter: Counter) -> u64 {
        self.counters.borrow().get(&counter).copied().unwrap_or(0)
    }

    pub fn flow_now(&self, key: &FlowKey) -> Option<Flow> {
        self.flows.borrow().get(key).map(|flow| flow.get())
    }
}

/// A copy of an entry that is written back when it is let go.
pub struct Entry {
    home: Rc<Cell<Flow>>,
    flow: Flow,
}

impl Deref for Entry {
    type Target = Flow;
    fn deref(&self) -> &Flow {
        &self.flow
    }
}

impl DerefMut for Entry {
    fn deref_mut(&mut self) -> &mut Flow {
        &mut self.flow
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.home.set(self.flow);
    }
}

impl Environment for FakeEnvironment {
    type Entry<'a> = Entry;
    type Scratch<'a> = Box<Seen>;

    fn scratch(&self) -> Option<Box<Seen>> {
        Some(Box::new(Seen::NOTHING))
    }

    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    fn backends(&self) -> Option<&BackendSet> {
        Some(&self.set)
    }

    fn known_exit(&self, place: u32) -> Option<impl Deref<Target = Known>> {
        Some(Box::new(self.exits.borrow().get(&place).copied().unwrap_or(Known::NOTHING)))
    }

    fn keep_exit(&self, place: u32, known: &Known) {
        self.exits.borrow_mut().insert(place, *known);
    }

    fn flow(&self, key: &FlowKey) -> Option<Entry> {
        let home = self.flows.borrow().get(key).cloned()?;
        Some(Entry { flow: home.get(), home })
    }

    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Err(InsertError::Taken);
        }
        if flows.len() >= self.capacity {
            return Err(InsertError::Full);
        }
        flows.insert(*key, Rc::new(Cell::new(*flow)));
        Ok(())
    }

    fn remove(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
    }

    fn with_track<R>(
        &self,
        client: &FlowKey,
        otherwise: R,
        change: impl FnOnce(&mut Track) -> R,
    ) -> R {
        self.tracks.borrow_mut().get_mut(client).map_or(otherwise, change)
    }

    fn remove_track(&self, client: &FlowKey) {
        self.tracks.borrow_mut().remove(client);
    }

    /// Leaked: a test has few.
    fn shift(&self, client: &FlowKey, id: TrackId, direction: Direction) -> Option<&Shift> {
        let tracks = self.tracks.borrow();
        let by = *shift_of(tracks.get(client)?, id, direction)?;
        Some(Box::leak(Box::new(by)))
    }

    fn arm(&self, client: &FlowKey) -> Option<&Arm> {
        self.arms.borrow().get(client).copied()
    }

    fn open_flows(&self, id: BackendId) -> u64 {
        let count = |counts: &RefCell<HashMap<_, u64>>| counts.borrow().get(&id).copied();
        count(&self.opened).unwrap_or(0) - count(&self.closed).unwrap_or(0)
    }

    fn count_opened(&self, id: BackendId) {
        *self.opened.borrow_mut().entry(id).or_default() += 1;
    }

    fn count_closed(&self, id: BackendId) {
        *self.closed.borrow_mut().entry(id).or_default() += 1;
    }

    fn tell(&self, change: Change, key: &FlowKey) {
        let entry = |key| self.flow_now(&key).expect("both entries are in the table");
        let flow = entry(*key);
        let twin = entry(flow.twin(key.local));
        let event = FlowEvent::new(change, &Halves::of(&flow, &twin, key.local), self.now());
        self.events.borrow_mut().push(event);
    }

    fn count_packet(&self, id: BackendId, direction: Direction, _bytes: u32) {
        *self.packets.borrow_mut().entry((id, direction as u8)).or_default() += 1;
    }

    fn count(&self, counter: Counter) {
        *self.counters.borrow_mut().entry(counter).or_default() += 1;
    }

    fn now(&self) -> Stamp {
        Stamp::from_nanos(self.millis.get() * 1_000_000)
    }

    /// xorshift: the same in every run.
    fn random(&self) -> u32 {
        let mut x = self.chance.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.chance.set(x);
        x
    }
}
