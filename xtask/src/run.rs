//! `cargo xtask run`: the agent in the lab, or on the host itself when it is given flags.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use nix::unistd::geteuid;

use crate::{
    build,
    cargo::{self, Ebpf, Profile},
    setup,
};

#[derive(clap::Args)]
pub struct Args {
    /// Stop after one whole rotation, print a summary, fail if any request failed
    #[arg(long)]
    once: bool,
    /// From the start of one rotation to the start of the next [default: 10s]
    #[arg(long, value_name = "DURATION")]
    rotate_every: Option<String>,
    /// How long the resolver's answers hold, in whole seconds [default: 2s]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Print lines in place of the live view
    #[arg(long)]
    plain: bool,
    /// Flags of `enigate run`: no lab then, the agent runs on this host
    #[arg(last = true, value_name = "AGENT FLAGS")]
    agent: Vec<OsString>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let ebpf = prepare()?;
    build::build(Profile::Release, ebpf)?;
    let mut command = if args.agent.is_empty() { demo(args)? } else { agent(&args.agent)? };
    // It takes our place, so that Ctrl-C and the exit code are its own.
    Err(command.exec()).with_context(|| format!("starting {}", cargo::line(&command)))
}

/// Without root there is no packet path, so that a missing toolchain does not matter.
fn prepare() -> anyhow::Result<Ebpf> {
    if geteuid().is_root() {
        setup::ensure(setup::Purpose::Work)?;
        return Ok(Ebpf::Required);
    }
    eprintln!(
        "Not root: no network namespaces and no eBPF. All runs on loopback, and the agent on its \
         relay data path. As root you get the packet path."
    );
    Ok(Ebpf::IfFound)
}

fn demo(args: &Args) -> anyhow::Result<Command> {
    let mut command = Command::new(cargo::binary(Profile::Release, "enigate-lab")?);
    command.arg("demo").arg("--agent").arg(cargo::binary(Profile::Release, "enigate")?);
    command.args(args.once.then_some("--once")).args(args.plain.then_some("--plain"));
    for (flag, value) in [("--rotate-every", &args.rotate_every), ("--ttl", &args.ttl)] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    Ok(command)
}

fn agent(flags: &[OsString]) -> anyhow::Result<Command> {
    let mut command = Command::new(cargo::binary(Profile::Release, "enigate")?);
    command.arg("run").args(flags);
    Ok(command)
}
