//! `enigate-lab bench`: one lab, one load, and whatever may stand between client and API servers.

mod clocked;
mod cluster;
mod congestion;
mod contender;
mod daemon;
mod doc;
mod events;
mod figure;
mod goals;
mod loader;
mod machine;
mod needs;
mod others;
mod packets;
mod part;
mod plots;
mod process;
mod report;
mod servers;
mod session;
mod site;
mod spent;
mod stats;
mod table;
mod tables;
mod trial;
mod workload;

pub mod load;

pub use process::Usage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::ensure;
use nix::unistd::geteuid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::demo::Stop;
use congestion::Allowed;
use contender::Contender;
use part::Part;
use session::Plan;

/// Names of the lab's parts; a second run waits for no first one.
const LAB: &str = "bench";
const ROUNDS: usize = 7;
const QUICK_ROUNDS: usize = 3;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's binary
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// The load generator's
    #[arg(long, value_name = "FILE")]
    load: PathBuf,
    /// Three rounds in place of seven, and shorter loads
    #[arg(long)]
    quick: bool,
    /// Write everything measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw what was measured, as SVG files in this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Write the report as Markdown
    #[arg(long, value_name = "FILE")]
    doc: Option<PathBuf>,
    /// Only this contender, or the eBPF programs by themselves; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!(geteuid().is_root(), "network namespaces need root: run as root");
    raise_open_files();
    Builder::new_current_thread().enable_all().build()?.block_on(bench(args))
}

async fn bench(args: Args) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let programs = args.wants(Part::Programs);
    let (contenders, missing) = args.contenders();
    ensure!(programs || !contenders.is_empty(), "nothing to compare: {}", missing.join("; "));
    let rounds = if args.quick { QUICK_ROUNDS } else { ROUNDS };
    let plan = Plan {
        programs,
        contenders,
        rounds,
        quick: args.quick,
        agent: args.agent,
        load: args.load,
    };
    let _allowed = Allowed::allow()?;
    let mut report = tokio::select! {
        report = session::run(&plan) => report?,
        // What there was of the lab is down when its future is dropped.
        () = stop.requested() => return Ok(ExitCode::FAILURE),
    };
    report.missing = missing;
    print!("{}", table::text(&report));
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    if let Some(folder) = &args.plots {
        plots::write(&report, folder)?;
    }
    if let Some(file) = &args.doc {
        doc::write(&report, file)?;
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Those that can take part, and why others cannot.
    fn contenders(&self) -> (Vec<Contender>, Vec<String>) {
        let all = Contender::ALL.into_iter();
        let wanted = all.filter(|contender| self.wants(Part::Contender(*contender)));
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for contender in wanted {
            match contender.missing() {
                None => there.push(contender),
                Some(why) => missing.push(format!("{contender}: {why}")),
            }
        }
        if !there.is_empty() {
            missing.extend(others::missing());
        }
        (there, missing)
    }
}

/// For what we start: idle connections take a descriptor each, and more of a proxy.
/// Clients and servers of a lab share this process.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, highest) {
        eprintln!("raising the limit of open files: {error}; idle connections may fail");
    }
}
