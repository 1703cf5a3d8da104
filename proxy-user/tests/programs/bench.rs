//! Both programs, loaded but attached to nothing, on maps of their own.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

pub mod maps;

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp},
};
use proxy_common::config::{Config, PortRange};
use proxy_ebpf::fake::{End, FakeEnvironment, FakePacket, Tcp, checksums_verify, ends};
use proxy_user::datapath::kernel::object;

use super::place;

/// Leaves room for what a program might add.
const OUT: usize = 4_096;
const ENTRIES: u32 = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Tc,
    Xdp,
}

impl Hook {
    pub const BOTH: [Self; 2] = [Self::Tc, Self::Xdp];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Sent,
    /// On to the next program, then the stack.
    Passed,
    Dropped,
}

impl Verdict {
    /// `TC_ACT_REDIRECT`, `TC_ACT_UNSPEC`, `TC_ACT_SHOT`; `XDP_TX`, `XDP_PASS`, `XDP_DROP`.
    fn of(hook: Hook, code: u32) -> Self {
        match (hook, code) {
            (Hook::Tc, 7) | (Hook::Xdp, 3) => Self::Sent,
            (Hook::Tc, u32::MAX) | (Hook::Xdp, 2) => Self::Passed,
            (Hook::Tc, 2) | (Hook::Xdp, 1) => Self::Dropped,
            unknown => panic!("no program of ours says {unknown:?}"),
        }
    }
}

pub struct Bench {
    ebpf: Ebpf,
}

impl Bench {
    pub fn unconfigured() -> Self {
        Self::load(ENTRIES)
    }

    pub fn with_enis(enis: u8) -> Self {
        Self::with_table(enis, ENTRIES)
    }

    pub fn with_table(enis: u8, entries: u32) -> Self {
        let mut bench = Self::load(entries);
        bench.configure(Self::config());
        bench.publish(1..=enis);
        bench
    }

    pub fn config() -> Config {
        let fake = FakeEnvironment::with_enis(0).config.unwrap();
        let sources = PortRange { first: 1_024, len: 31_744 };
        Config { ifindex: place::link(), sources, ..fake }
    }

    fn load(entries: u32) -> Self {
        let ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", entries)
            .map_max_entries("TRACKS", entries)
            .map_max_entries("ARMS", entries)
            .load(object().unwrap())
            .expect("the object loads; this needs root");
        Self { ebpf }
    }

    /// Runs a frame; returns the verdict and the frame as it is then.
    pub fn run(&mut self, hook: Hook, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut out = vec![0; OUT];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        // XDP's namespace is that of the caller.
        place::link();
        let result = match hook {
            Hook::Tc => classifier(&mut self.ebpf, "enigate_tc").test_run(options),
            Hook::Xdp => xdp(&mut self.ebpf).test_run(options),
        };
        let result = result.expect("the program runs");
        out.truncate(result.data_size_out as usize);
        (Verdict::of(hook, result.return_value), out)
    }

    /// Runs a frame of a socket with this mark at the guard.
    pub fn guard(&mut self, frame: &[u8], mark: u32) -> Verdict {
        // The third word of `struct __sk_buff`; the kernel takes the others for zeros.
        let context = [0, 0, mark].map(u32::to_ne_bytes).concat();
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = classifier(&mut self.ebpf, "enigate_guard").test_run(options);
        Verdict::of(Hook::Tc, result.expect("the program runs").return_value)
    }

    /// Runs a segment at TC that must leave translated, with right checksums; returns its ends.
    pub fn forwards(&mut self, segment: &Tcp) -> [End; 2] {
        let (verdict, out) = self.run(Hook::Tc, &segment.frame().bytes());
        assert_eq!(verdict, Verdict::Sent, "{segment:?}");
        let out = FakePacket::from_bytes(&out);
        assert!(checksums_verify(&out), "{segment:?}");
        ends(&out)
    }
}

/// Loaded when it is first asked for: the verifier takes most of a test's time.
fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    let tc: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
    if tc.fd().is_err() {
        tc.load().expect("the verifier accepts the program");
    }
    tc
}

fn xdp(ebpf: &mut Ebpf) -> &mut Xdp {
    let xdp: &mut Xdp = ebpf.program_mut("enigate_xdp").unwrap().try_into().unwrap();
    if xdp.fd().is_err() {
        xdp.load().expect("the verifier accepts the program");
    }
    xdp
}
