//! What the agent would write into the maps, and what they say.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use proxy_common::{
    addr::Addr,
    backend::{BackendId, BackendLoad, BackendSet, BackendTraffic},
    config::{ActiveSet, Config},
    counter::Counter,
    flow::{Flow, FlowKey},
    reason::Reason,
    track::{Arm, Track},
};
use proxy_ebpf::fake::both;

use super::Bench;

/// `BPF_NOEXIST`
const NEW: u64 = 1;

impl Bench {
    pub fn configure(&mut self, config: Config) {
        let mut configs: Array<_, Config> =
            self.ebpf.map_mut("CONFIG").unwrap().try_into().unwrap();
        configs.set(0, config, 0).unwrap();
    }

    pub fn publish(&mut self, enis: impl IntoIterator<Item = u8>) {
        let mut active: Array<_, ActiveSet> =
            self.ebpf.map_mut("ACTIVE").unwrap().try_into().unwrap();
        let next = 1 - active.get(&0, 0).unwrap();
        active.set(0, next, 0).unwrap();
        let set = BackendSet::new(1, both(enis));
        Array::<_, BackendSet>::try_from(self.ebpf.map_mut("BACKENDS").unwrap())
            .unwrap()
            .set(next, set, 0)
            .unwrap();
    }

    /// As if just begun, with one ENI and no connection.
    pub fn begin_anew(&mut self) {
        self.configure(Self::config());
        self.publish([1]);
        let keys: Vec<_> = self.table().into_iter().map(|(key, _)| key).collect();
        let mut flows = self.flows_mut();
        for key in keys {
            flows.remove(&key).unwrap();
        }
    }

    /// Fills the table with copies of an entry that no packet finds.
    pub fn fill_table(&mut self) {
        let (key, flow) = self.table()[0];
        let mut flows = self.flows_mut();
        let nobody = |n: u32| FlowKey { remote: Addr::from_v4_word(n), ..key };
        let refused = (1..).find_map(|n| flows.insert(nobody(n), flow, NEW).err());
        let is_full = matches!(&refused, Some(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::ArgumentListTooLong);
        assert!(is_full, "{refused:?}");
    }

    pub fn flow(&self, key: &FlowKey) -> Option<Flow> {
        self.flows().get(key, 0).ok()
    }

    pub fn table(&self) -> Vec<(FlowKey, Flow)> {
        self.flows().iter().collect::<Result<_, _>>().unwrap()
    }

    pub fn insert(&mut self, key: &FlowKey, flow: Flow) {
        self.flows_mut().insert(key, flow, NEW).unwrap();
    }

    pub fn track(&self, client: &FlowKey) -> Option<Track> {
        let tracks: HashMap<_, FlowKey, Track> =
            self.ebpf.map("TRACKS").unwrap().try_into().unwrap();
        tracks.get(client, 0).ok()
    }

    pub fn record(&mut self, client: &FlowKey, track: Track) {
        let mut tracks: HashMap<_, FlowKey, Track> =
            self.ebpf.map_mut("TRACKS").unwrap().try_into().unwrap();
        tracks.insert(client, track, NEW).unwrap();
    }

    pub fn arm(&mut self, client: &FlowKey, arm: Arm) {
        let mut arms: HashMap<_, FlowKey, Arm> =
            self.ebpf.map_mut("ARMS").unwrap().try_into().unwrap();
        arms.insert(client, arm, 0).unwrap();
    }

    fn flows(&self) -> HashMap<&MapData, FlowKey, Flow> {
        self.ebpf.map("FLOWS").unwrap().try_into().unwrap()
    }

    fn flows_mut(&mut self) -> HashMap<&mut MapData, FlowKey, Flow> {
        self.ebpf.map_mut("FLOWS").unwrap().try_into().unwrap()
    }

    pub fn count(&self, reason: Reason) -> u64 {
        let reasons: PerCpuArray<_, u64> = self.ebpf.map("REASONS").unwrap().try_into().unwrap();
        reasons.get(&(reason as u32), 0).unwrap().iter().sum()
    }

    /// In the order of [`Reason::ALL`].
    pub fn counts(&self) -> Vec<u64> {
        Reason::ALL.iter().map(|reason| self.count(*reason)).collect()
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        let counters: PerCpuArray<_, u64> = self.ebpf.map("COUNTERS").unwrap().try_into().unwrap();
        counters.get(&(counter as u32), 0).unwrap().iter().sum()
    }

    /// Opened and closed.
    pub fn load_of(&self, id: BackendId) -> (u64, u64) {
        let load: Array<_, BackendLoad> = self.ebpf.map("LOAD").unwrap().try_into().unwrap();
        let load = load.get(&id.0.into(), 0).unwrap();
        (load.opened, load.closed)
    }

    pub fn traffic(&self, id: BackendId) -> BackendTraffic {
        let traffic: PerCpuArray<_, BackendTraffic> =
            self.ebpf.map("TRAFFIC").unwrap().try_into().unwrap();
        let per_cpu = traffic.get(&id.0.into(), 0).unwrap();
        per_cpu.iter().fold(BackendTraffic::default(), |sum, cpu| BackendTraffic {
            packets_to_backend: sum.packets_to_backend + cpu.packets_to_backend,
            bytes_to_backend: sum.bytes_to_backend + cpu.bytes_to_backend,
            packets_to_client: sum.packets_to_client + cpu.packets_to_client,
            bytes_to_client: sum.bytes_to_client + cpu.bytes_to_client,
        })
    }
}
