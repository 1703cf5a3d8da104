//! What a packet costs in the eBPF programs alone: the kernel runs them again and again on packets of
//! ours (BPF_PROG_TEST_RUN), with no network around them.

mod bed;
mod chain;
mod reasons;

use std::fmt;

use proxy_common::addr::Family;
use serde::Serialize;

use self::{bed::Bed, chain::Chain};
use super::{load, site::Site, stats::Summary};
use crate::plan::v6_of;

/// Flows that packets come from, where most of a table is idle: as most connections to an API server
/// are, most of the time.
pub(crate) const BUSY: u32 = 1_000;
pub(crate) const LARGE: u32 = 1_000_000;
/// Flows in each. The smallest is the one for every kind of packet.
const TABLES: [u32; 3] = [BUSY, 100_000, LARGE];
/// Calls of the kernel for one value, of which the median counts: whoever interrupts one of them
/// does not count.
const CALLS: usize = 40;
/// For which there are enough flows in the smallest table.
const ENDING_CALLS: usize = 4;
/// Each of one packet, for connections begin once.
const OPENING_CALLS: usize = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Hook {
    Tc,
    Xdp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Kind {
    Syn,
    Data,
    Ack,
    Fin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub hook: Hook,
    pub family: Family,
    pub kind: Kind,
    pub flows: u32,
    /// So many of them have packets: all, or [`BUSY`].
    pub busy: u32,
}

/// Of one case, a value for each round, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Cost {
    pub case: Case,
    pub nanos: Vec<f64>,
}

/// Of a program, as the kernel counts them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Instructions {
    pub program: String,
    /// What it consists of.
    pub translated: u32,
    /// What the verifier has looked at, over all ways through it.
    pub verified: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Packets {
    pub costs: Vec<Cost>,
    pub instructions: Vec<Instructions>,
    /// Cases that came to no result.
    pub broken: Vec<String>,
}

/// In the proxy's place of a lab, which has a route and a neighbour.
pub(crate) async fn measure(site: &Site, rounds: usize) -> anyhow::Result<Packets> {
    let backends = site.backends().to_vec();
    let measured = async move {
        for backend in backends.iter().take(1) {
            load::try_once(*backend).await?;
            // Nobody listens there; the neighbour on the way is known from the answer.
            let std::net::IpAddr::V4(v4) = backend.ip() else { continue };
            load::try_once((v6_of(v4), backend.port()).into()).await.ok();
        }
        tokio::task::spawn_blocking(move || all(rounds)).await?
    };
    site.proxy().run(measured).await
}

fn all(rounds: usize) -> anyhow::Result<Packets> {
    let mut packets = Packets::default();
    for (at, flows) in TABLES.into_iter().enumerate() {
        say(at, flows);
        for family in [Family::V4, Family::V6] {
            let chain = Chain::new(family, flows);
            let mut bed = Bed::with(&chain)?;
            for (case, nanos) in rounds_of(&mut bed, &chain, rounds) {
                match nanos {
                    Ok(nanos) => packets.costs.push(Cost { case, nanos }),
                    Err(error) => packets.broken.push(format!("{case}: {error:#}")),
                }
            }
            if packets.instructions.is_empty() {
                packets.instructions = bed.instructions()?;
            }
        }
    }
    Ok(packets)
}

type Measured = (Case, anyhow::Result<Vec<f64>>);

/// All cases in each round, in random order: whoever else is on the machine meets them alike. One that
/// fails is not tried again.
fn rounds_of(bed: &mut Bed, chain: &Chain, rounds: usize) -> Vec<Measured> {
    let cases = cases(chain.family(), chain.len() as u32);
    let mut measured: Vec<Measured> = cases.into_iter().map(|case| (case, Ok(vec![]))).collect();
    let mut order: Vec<_> = (0..measured.len()).collect();
    for _ in 0..rounds {
        fastrand::shuffle(&mut order);
        for at in &order {
            let (case, all) = &mut measured[*at];
            let Ok(nanos) = all else { continue };
            match once(bed, chain, *case) {
                Ok(value) => nanos.push(value),
                Err(error) => *all = Err(error),
            }
        }
    }
    measured
}

/// On standard error, as for loads.
fn say(at: usize, flows: u32) {
    let (number, thousands) = (at + 1, flows / 1_000);
    eprintln!("[{number}/{}] the eBPF programs with {thousands} k flows", TABLES.len());
}

/// All kinds where the table is small, and what most packets are where it is not.
fn cases(family: Family, flows: u32) -> Vec<Case> {
    let (kinds, busy): (&[Kind], &[u32]) = match flows {
        ..=BUSY => (&[Kind::Data, Kind::Ack, Kind::Fin, Kind::Syn], &[flows]),
        _ => (&[Kind::Data, Kind::Ack], &[flows, BUSY]),
    };
    let cases = busy.iter().flat_map(|busy| kinds.iter().map(move |kind| (*busy, *kind)));
    let cases = cases.flat_map(|(busy, kind)| [Hook::Tc, Hook::Xdp].map(|hook| (hook, busy, kind)));
    cases.map(|(hook, busy, kind)| Case { hook, family, kind, flows, busy }).collect()
}

/// Nanoseconds.
fn once(bed: &mut Bed, chain: &Chain, case: Case) -> anyhow::Result<f64> {
    let calls = match case.kind {
        Kind::Syn => OPENING_CALLS,
        Kind::Fin => ENDING_CALLS,
        Kind::Data | Kind::Ack => CALLS,
    };
    let mut nanos = Vec::new();
    for call in 0..calls {
        nanos.push(match case.kind {
            Kind::Syn => bed.open(case.hook, chain)?,
            Kind::Data | Kind::Ack => bed.follow(case.hook, chain, any_busy(case), case.kind)?,
            Kind::Fin => bed.follow(case.hook, chain, call * chain::STEPS as usize, Kind::Fin)?,
        });
    }
    if case.kind == Kind::Fin {
        // For whoever comes next.
        bed.enter(chain)?;
    }
    Ok(Summary::of(&nanos).map_or(0.0, |summary| summary.median))
}

fn any_busy(case: Case) -> usize {
    fastrand::usize(..case.busy as usize)
}

impl Packets {
    pub(crate) fn cost(&self, case: Case) -> Option<Summary> {
        Summary::of(&self.costs.iter().find(|cost| cost.case == case)?.nanos)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tc => "TC",
            Self::Xdp => "XDP",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syn => "SYN",
            Self::Data => "data",
            Self::Ack => "ACK",
            Self::Fin => "FIN",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, family, kind, flows, busy } = self;
        let family = if *family == Family::V4 { "IPv4" } else { "IPv6" };
        write!(f, "{hook}, {family}, {kind}, {} k flows", flows / 1_000)?;
        if busy < flows { write!(f, ", {} k of them busy", busy / 1_000) } else { Ok(()) }
    }
}
