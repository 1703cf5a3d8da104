//! `cargo xtask test`: every ring, from the cheapest to the dearest. One that fails hides no other.

mod fuzz;
mod part;
mod report;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use nix::unistd::geteuid;

use crate::{cargo::Ebpf, ebpf_toolchain, setup};
use part::{Part, Ring};
use report::{Outcome, Report};

#[derive(clap::Args)]
pub struct Args {
    /// Only this ring; may be given more than once
    #[arg(long, value_name = "RING")]
    only: Vec<Ring>,
    /// Leave out what needs root, without counting that as a failure
    #[arg(long)]
    unprivileged: bool,
    /// Arguments for the test harness: a filter, --nocapture, …
    #[arg(last = true, value_name = "HARNESS ARGUMENTS")]
    harness: Vec<OsString>,
}

/// What this machine lets the parts do.
struct Machine {
    root: bool,
    /// Why there is no eBPF toolchain, if there is none.
    no_ebpf: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let parts: Vec<_> = Part::ALL.into_iter().filter(|part| args.wants(*part)).collect();
    let machine = Machine::prepare(args, &parts);
    let mut report = Report::default();
    for part in parts {
        println!("\n=== {part}");
        report.add(part, machine.outcome(part, &args.harness));
    }
    report.print();
    Ok(if report.succeeded(args.unprivileged) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part.ring())
    }
}

impl Machine {
    /// Sets up what is missing, if there is a part that cannot do without.
    fn prepare(args: &Args, parts: &[Part]) -> Self {
        let root = geteuid().is_root() && !args.unprivileged;
        let wanted = root && parts.iter().any(|part| part.needs_root());
        let failed = if wanted { setup::ensure(setup::Purpose::Tests).err() } else { None };
        let no_ebpf = failed
            .map(|error| format!("setup failed: {error:#}"))
            .or_else(|| ebpf_toolchain::find().err().map(|missing| missing.to_string()));
        Self { root, no_ebpf }
    }

    fn outcome(&self, part: Part, harness: &[OsString]) -> Outcome {
        match &self.no_ebpf {
            _ if part.needs_root() && !self.root => Outcome::NeedsRoot,
            Some(why) if part.needs_root() => Outcome::Failed(Duration::ZERO, why.clone()),
            Some(_) => part.run(Ebpf::IfFound, harness),
            None => part.run(Ebpf::Required, harness),
        }
    }
}
