//! `enigate-lab`: the lab by hand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vm_tests::{Lab, demo};

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
    /// Removes what a crashed lab of this name has left
    Clean { name: String },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Clean { name } => clean(&name),
    }
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
