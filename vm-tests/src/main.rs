//! `enigate-lab`: the lab by hand.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use vm_tests::{Lab, Options, bench, demo, guest};

#[derive(Parser)]
#[command(version, about = "A small VPC in which the real agent runs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a lab, rotates its ENIs under load, and shows it
    Demo(demo::Args),
    /// Compares what may stand between clients and API servers
    Bench(bench::Args),
    /// Runs all scenarios on this kernel; all that a virtual machine runs
    Guest(guest::Args),
    /// Starts a lab and leaves it to you until Ctrl-C
    Up(UpArgs),
    /// Removes what a crashed lab of this name has left
    Clean { name: String },
}

#[derive(clap::Args)]
struct UpArgs {
    name: String,
    /// The enigate binary
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// More flags for the agent
    #[arg(last = true)]
    agent_flags: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Guest(args) => guest::run(&args),
        Command::Up(args) => up(args),
        Command::Clean { name } => clean(&name),
    };
    done.unwrap_or_else(|error| {
        eprintln!("enigate-lab: {error:#}");
        ExitCode::FAILURE
    })
}

#[tokio::main(flavor = "current_thread")]
async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let mut options = Options::new(args.agent);
    options.agent_flags = args.agent_flags;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let lab = tokio::select! {
        lab = Lab::start(&args.name, options, |step| println!("{step}")) => lab?,
        _ = interrupt.recv() => return Ok(ExitCode::FAILURE),
        _ = terminate.recv() => return Ok(ExitCode::FAILURE),
    };
    println!("up: clients reach the proxy at {}; Ctrl-C ends it", lab.client().proxy());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    lab.stop().await?;
    Ok(ExitCode::SUCCESS)
}

fn clean(name: &str) -> anyhow::Result<ExitCode> {
    let removed = Lab::clean(name)?;
    if removed.is_empty() {
        println!("nothing was left by a lab named {name}");
    }
    for what in removed {
        println!("removed {what}");
    }
    Ok(ExitCode::SUCCESS)
}
