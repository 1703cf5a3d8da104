//! What people who work on enigate, or try it, run: `cargo xtask help`.

mod bench;
mod build;
mod cargo;
mod ebpf_toolchain;
mod progress;
mod run;
mod setup;
mod table;
mod test;
mod vm_tests;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Set up, build, try and test enigate")]
enum Command {
    /// Install what building the eBPF programs takes
    Setup(setup::Args),
    /// Build the agent, with the packet path, and the lab
    Build(build::Args),
    /// Run the agent in a small VPC on this machine; after `--`: on the host itself
    Run(run::Args),
    /// Compare the agent with other ways to the API servers, under load
    Bench(bench::Args),
    /// Run all tests, from lints to scenarios in network namespaces
    Test(test::Args),
    /// Run the scenarios in virtual machines, on each kernel of vm-tests/kernels.toml
    VmTests(vm_tests::Args),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Setup(args) => setup::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Test(args) => test::run(&args),
        Command::VmTests(args) => vm_tests::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
