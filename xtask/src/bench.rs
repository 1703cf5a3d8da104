//! `cargo xtask bench`: enigate beside others, in the lab.

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};
use nix::unistd::geteuid;

use crate::{
    build,
    cargo::{self, Ebpf, Profile},
    setup,
};

const REPORT: &str = "docs/benchmarks.md";

#[derive(clap::Args)]
pub struct Args {
    /// Three rounds in place of seven, and shorter loads
    #[arg(long)]
    quick: bool,
    /// Write everything measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw what was measured, as SVG files in this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Only this contender: plain, nftables, haproxy, nginx, relay, sockmap, handover, tcx, clsact,
    /// xdp or xdp-generic; or the eBPF programs by themselves: programs; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(geteuid().is_root(), "network namespaces need root: run as root");
    setup::ensure(args.purpose())?;
    build::build(Profile::Release, Ebpf::Required)?;
    let mut command = bench(args)?;
    // It takes our place, so that Ctrl-C and the exit code are its own.
    Err(command.exec()).with_context(|| format!("starting {}", cargo::line(&command)))
}

impl Args {
    /// Programs by themselves are compared with nobody.
    fn purpose(&self) -> setup::Purpose {
        match self.only.as_slice() {
            [only] if only == "programs" => setup::Purpose::Work,
            _ => setup::Purpose::Bench,
        }
    }
}

fn bench(args: &Args) -> anyhow::Result<Command> {
    let mut command = Command::new(cargo::binary(Profile::Release, "enigate-lab")?);
    command.arg("bench").arg("--agent").arg(cargo::binary(Profile::Release, "enigate")?);
    command.arg("--load").arg(cargo::binary(Profile::Release, "enigate-load")?);
    command.args(args.quick.then_some("--quick"));
    for (flag, path) in [("--json", &args.json), ("--plots", &args.plots)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    // What stands in there is a whole run, and nothing less.
    if !args.quick && args.only.is_empty() {
        command.arg("--doc").arg(cargo::root().join(REPORT));
    }
    for name in &args.only {
        command.args(["--only", name]);
    }
    Ok(command)
}
