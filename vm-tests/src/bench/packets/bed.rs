//! Both programs on maps of their own, attached to nothing that a packet comes by.

use anyhow::{Context as _, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::Array,
    programs::{ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, Xdp, XdpMode},
};
use nix::net::if_::if_nametoindex;
use proxy_common::{
    addr::{Addr, Family, Port},
    backend::{Backend, BackendSet},
    config::{ActiveSet, Config, PortRange},
    flow::{Flow, FlowKey},
};
use proxy_ebpf::{fake::Tcp, parse::Flags};
use proxy_user::datapath::kernel::{object, table::Table};

use super::{
    Hook, Instructions, Kind,
    chain::{self, BACKEND, Chain, STEPS},
    reasons::Reasons,
};
use crate::links::HOST_LINK;

const TC: &str = "enigate_tc";
const XDP: &str = "enigate_xdp";
const LISTEN: u16 = 443;
/// Of every namespace; nobody in the proxy's sends by it.
const IDLE_LINK: &str = "lo";
/// Not among the source ports: the program looks for one.
const CLIENT_PORTS: (u16, u16) = (33_000, 32_000);
const SOURCES: PortRange = PortRange { first: 1_024, len: 31_744 };
/// Entries for what SYNs open.
const SPARE: u32 = 16_384;
/// Leaves room for what a program might add.
const OUT: usize = 4_096;

pub(super) struct Bed {
    ebpf: Ebpf,
    flows: Table<FlowKey, Flow>,
    reasons: Reasons,
    opened: u16,
}

impl Bed {
    /// Its table has the chain's flows and little room beside.
    pub(super) fn with(chain: &Chain) -> anyhow::Result<Self> {
        let entries = 2 * u32::try_from(chain.len())? + SPARE;
        let mut ebpf = EbpfLoader::new().map_max_entries("FLOWS", entries).load(object()?)?;
        configure(&mut ebpf, chain.family())?;
        classifier(&mut ebpf)?.load()?;
        xdp(&mut ebpf)?.load()?;
        // The kernel patches its code for an XDP program that sits nowhere, before each test and after
        // it, and waits for all processors: then everything would be cold (`bpf_prog_change_xdp` in
        // bpf_prog_test_run_xdp, net/bpf/test_run.c).
        xdp(&mut ebpf)?.attach(IDLE_LINK, XdpMode::Skb).context("attaching to an idle link")?;
        let flows = ebpf.take_map("FLOWS").context("the object has no table")?.try_into()?;
        let reasons = ebpf.take_map("REASONS").context("the object counts no reasons")?;
        let bed = Self { ebpf, flows, reasons: Reasons::of(reasons)?, opened: 0 };
        bed.enter(chain)?;
        Ok(bed)
    }

    /// As if no packet had come yet.
    pub(super) fn enter(&self, chain: &Chain) -> anyhow::Result<()> {
        for (key, flow) in chain.entries() {
            self.flows.put(&key, &flow).context("filling the table")?;
        }
        Ok(())
    }

    /// Nanoseconds of a run on a packet of each flow from this one on.
    pub(super) fn follow(
        &mut self,
        hook: Hook,
        chain: &Chain,
        flow: usize,
        kind: Kind,
    ) -> anyhow::Result<f64> {
        let segment = chain.segment(flow, kind);
        let (code, nanos) = self.run(hook, &segment, STEPS)?;
        if code != sent(hook) {
            bail!("flow {flow}: verdict {code}: {}", self.why(hook, &segment)?);
        }
        Ok(nanos)
    }

    /// Nanoseconds of the only run on the SYN of a client that has never come before.
    pub(super) fn open(&mut self, hook: Hook, chain: &Chain) -> anyhow::Result<f64> {
        self.opened = (self.opened + 1) % CLIENT_PORTS.1;
        let at = chain.address();
        let client = (at, CLIENT_PORTS.0 + self.opened);
        let segment = Tcp::new(client, (at, LISTEN), Flags::SYN);
        let (code, nanos) = self.run(hook, &segment, 1)?;
        // At XDP that is for the program behind it.
        let expected = if hook == Hook::Xdp { XDP_PASS } else { sent(hook) };
        if code != expected {
            bail!("from port {}: verdict {code}: {}", client.1, self.why(hook, &segment)?);
        }
        Ok(nanos)
    }

    /// As the programs count it. XDP leaves nearly all that it passes on to TC, to be judged and
    /// counted there.
    fn why(&mut self, hook: Hook, segment: &Tcp) -> anyhow::Result<String> {
        if let Some(counted) = self.reasons.news()? {
            return Ok(counted);
        }
        if hook == Hook::Xdp {
            let (code, _) = self.run(Hook::Tc, segment, 1)?;
            let counted = self.reasons.news()?.unwrap_or_else(|| "nothing".to_owned());
            return Ok(format!("not counted; TC's verdict {code}, counted {counted}"));
        }
        Ok("not counted".to_owned())
    }

    pub(super) fn instructions(&mut self) -> anyhow::Result<Vec<Instructions>> {
        let infos =
            [(TC, classifier(&mut self.ebpf)?.info()?), (XDP, xdp(&mut self.ebpf)?.info()?)];
        infos.into_iter().map(|(name, info)| instructions(name, &info)).collect()
    }

    fn run(&mut self, hook: Hook, segment: &Tcp, repeat: u32) -> anyhow::Result<(u32, f64)> {
        let (frame, mut out) = (segment.frame().bytes(), vec![0; OUT]);
        let options = TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut out),
            repeat,
            ..TestRunOptions::default()
        };
        let done = match hook {
            Hook::Tc => classifier(&mut self.ebpf)?.test_run(options),
            Hook::Xdp => xdp(&mut self.ebpf)?.test_run(options),
        };
        let done = done.with_context(|| format!("running the program for {hook}"))?;
        Ok((done.return_value, done.duration.as_nanos() as f64))
    }
}

const XDP_PASS: u32 = 2;

/// `TC_ACT_REDIRECT`, `XDP_TX`.
const fn sent(hook: Hook) -> u32 {
    match hook {
        Hook::Tc => 7,
        Hook::Xdp => 3,
    }
}

/// With one ENI, which has the chain's own address, too.
fn configure(ebpf: &mut Ebpf, family: Family) -> anyhow::Result<()> {
    let mut config = Config {
        ifindex: if_nametoindex(HOST_LINK).context("looking for the proxy's link")?,
        listen: Port::new(LISTEN),
        sources: SOURCES,
        ..Config::default()
    };
    for family in [Family::V4, Family::V6] {
        config.locals[family as usize] = Addr::from(chain::address(family));
    }
    let address = Addr::from(chain::address(family));
    let eni = Backend { address, port: Port::new(LISTEN), id: BACKEND };
    Array::<_, Config>::try_from(map(ebpf, "CONFIG")?)?.set(0, config, 0)?;
    Array::<_, BackendSet>::try_from(map(ebpf, "BACKENDS")?)?.set(
        0,
        BackendSet::new(1, [eni]),
        0,
    )?;
    Ok(Array::<_, ActiveSet>::try_from(map(ebpf, "ACTIVE")?)?.set(0, 0, 0)?)
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}

fn classifier(ebpf: &mut Ebpf) -> anyhow::Result<&mut SchedClassifier> {
    match ebpf.program_mut(TC) {
        Some(program) => Ok(program.try_into()?),
        None => bail!("the object has no program {TC}"),
    }
}

fn xdp(ebpf: &mut Ebpf) -> anyhow::Result<&mut Xdp> {
    match ebpf.program_mut(XDP) {
        Some(program) => Ok(program.try_into()?),
        None => bail!("the object has no program {XDP}"),
    }
}

fn instructions(name: &str, info: &ProgramInfo) -> anyhow::Result<Instructions> {
    /// `struct bpf_insn`.
    const BYTES: u32 = 8;
    let translated = info.size_translated().context("the kernel hides its programs")? / BYTES;
    let verified = info.verified_instruction_count().unwrap_or_default();
    Ok(Instructions { program: name.to_owned(), translated, verified })
}
