//! The program, loaded but attached to nothing, with maps of its own.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use proxy_common::{
    backend::{BackendId, BackendLoad, BackendSet, BackendTraffic},
    config::{ActiveSet, Config, PortRange},
    flow::{Flow, FlowKey},
    reason::Reason,
};
use proxy_ebpf::fake::{End, FakeEnvironment, FakePacket, Tcp, both, checksums_verify, ends};
use proxy_user::datapath::kernel::object;

/// TC_ACT_UNSPEC: on to the next program, then the stack.
pub const PASSED: u32 = u32::MAX;
pub const SHOT: u32 = 2;
pub const REDIRECTED: u32 = 7;

const LOOPBACK: u32 = 1;
/// Leaves room for what a program might add.
const OUT: usize = 4_096;

pub struct Bench {
    ebpf: Ebpf,
}

impl Bench {
    pub fn unconfigured() -> Self {
        Self::load(1_024)
    }

    pub fn with_enis(enis: u8) -> Self {
        Self::with_table(enis, 1_024)
    }

    pub fn with_table(enis: u8, entries: u32) -> Self {
        let mut bench = Self::load(entries);
        let fake = FakeEnvironment::with_enis(0).config.unwrap();
        let sources = PortRange { first: 1_024, len: 31_744 };
        let config = Config { ifindex: LOOPBACK, sources, ..fake };
        Array::<_, Config>::try_from(bench.ebpf.map_mut("CONFIG").unwrap())
            .unwrap()
            .set(0, config, 0)
            .unwrap();
        bench.publish(1..=enis);
        bench
    }

    fn load(entries: u32) -> Self {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", entries)
            .load(object().unwrap())
            .expect("the object loads; this needs root");
        program(&mut ebpf).load().expect("the verifier accepts the program");
        Self { ebpf }
    }

    /// Runs a frame; returns the verdict and the frame as it is then.
    pub fn run(&mut self, frame: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; OUT];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = program(&mut self.ebpf).test_run(options).expect("the program runs");
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    /// Runs a segment that must leave translated, with right checksums; returns its ends.
    pub fn forwards(&mut self, segment: &Tcp) -> [End; 2] {
        let (verdict, out) = self.run(&segment.frame().bytes());
        assert_eq!(verdict, REDIRECTED, "{segment:?}");
        let out = FakePacket::from_bytes(&out);
        assert!(checksums_verify(&out), "{segment:?}");
        ends(&out)
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

    pub fn flow(&self, key: &FlowKey) -> Option<Flow> {
        self.flows().get(key, 0).ok()
    }

    pub fn entries(&self) -> usize {
        self.flows().keys().count()
    }

    fn flows(&self) -> HashMap<&aya::maps::MapData, FlowKey, Flow> {
        self.ebpf.map("FLOWS").unwrap().try_into().unwrap()
    }

    pub fn count(&self, reason: Reason) -> u64 {
        let reasons: PerCpuArray<_, u64> = self.ebpf.map("REASONS").unwrap().try_into().unwrap();
        reasons.get(&(reason as u32), 0).unwrap().iter().sum()
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

fn program(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    ebpf.program_mut("enigate_tc").unwrap().try_into().unwrap()
}
