//! `cargo xtask build`: the agent with its eBPF programs, and the lab.

use std::process::ExitCode;

use crate::{
    cargo::{self, Ebpf, Profile},
    setup,
};

#[derive(clap::Args)]
pub struct Args {
    /// Build what `cargo xtask run` runs, optimised
    #[arg(long)]
    release: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    setup::ensure(setup::Purpose::Work)?;
    build(if args.release { Profile::Release } else { Profile::Dev }, Ebpf::Required)?;
    Ok(ExitCode::SUCCESS)
}

/// Agent and lab in one go: built apart, they would not share their dependencies.
pub fn build(profile: Profile, ebpf: Ebpf) -> anyhow::Result<()> {
    let mut command = cargo::cargo(ebpf);
    command.args(["build", "--package", "proxy-user", "--package", "vm-tests"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    cargo::succeed(&mut command)
}
