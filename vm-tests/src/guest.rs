//! `enigate-lab guest`: what the kernel that runs here offers, and the scenarios on it, each in a
//! process of its own. As process 1 it is all that a virtual machine has.

mod offers;
mod report;
mod run;
pub mod said;
mod system;

use std::{
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use anyhow::ensure;
use tokio::runtime::Builder;

use report::Report;
use said::{Outcome, Said};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenarios: their test binary
    #[arg(long, value_name = "FILE", default_value = "/bin/scenarios")]
    scenarios: PathBuf,
    /// The agent's binary
    #[arg(long, value_name = "FILE", default_value = "/bin/enigate")]
    agent: PathBuf,
    /// Where to say what comes of it, a line of JSON each; standard output without
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Say what the kernel offers the agent before the first scenario
    #[arg(long)]
    offers: bool,
    /// Only scenarios that have one of these in their names
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// No scenarios: a shell on the console
    #[arg(long)]
    shell: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if process::id() == 1 {
        return system::supervise(args.to.as_deref());
    }
    if args.shell {
        return system::shell();
    }
    let report = Report::open(args.to.as_deref())?;
    report.say(&Said::Up { kernel: kernel()? });
    report.beat();
    Builder::new_current_thread().enable_all().build()?.block_on(all(args, &report))
}

async fn all(args: &Args, report: &Report) -> anyhow::Result<ExitCode> {
    if args.offers {
        offers::look(&args.agent, report).await;
    }
    let scenarios = run::list(&args.scenarios, &args.only)?;
    report.say(&Said::Planned { scenarios: scenarios.len() });
    ensure!(!scenarios.is_empty(), "--only: {:?}: no scenario has that in its name", args.only);
    let mut failed = false;
    for scenario in scenarios {
        failed |= one(args, report, scenario).await?;
    }
    report.say(&Said::Done);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Did it fail?
async fn one(args: &Args, report: &Report, scenario: String) -> anyhow::Result<bool> {
    report.say(&Said::Started { scenario: scenario.clone() });
    let ended = run::one(&args.scenarios, &args.agent, &scenario).await?;
    let failed = matches!(ended.outcome, Outcome::Failed | Outcome::Hung);
    let run::Ended { seconds, outcome, output } = ended;
    report.say(&Said::Ended { scenario, seconds, outcome, output });
    Ok(failed)
}

fn kernel() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(Path::new("/proc/sys/kernel/osrelease"))?.trim().to_owned())
}
