//! `enigate-load`: the same load for whatever stands between its client and its server.

use std::process::ExitCode;

use clap::Parser;
use vm_tests::bench::load;

fn main() -> ExitCode {
    match load::run(load::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enigate-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
