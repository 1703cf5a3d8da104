//! `cargo xtask setup`: what building, running and testing take beside the Rust that started this.

mod apt;
mod ebpf;
mod host;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::table;

#[derive(clap::Args)]
pub struct Args {
    /// Only report; exit code 1 if something is missing
    #[arg(long)]
    check: bool,
}

/// In the order in which they are installed: later ones need earlier ones.
const ITEMS: [Item; 5] = [
    Item { name: "C and C++ compiler", check: host::compiler, install: host::install_compiler },
    Item { name: "eBPF compiler", check: ebpf::compiler, install: ebpf::install },
    Item { name: "bpf-linker", check: ebpf::linker, install: ebpf::install },
    Item { name: "BPF file system", check: host::bpffs, install: host::mount_bpffs },
    Item { name: "rustfmt and clippy", check: host::lints, install: host::install_lints },
];

struct Item {
    name: &'static str,
    check: fn() -> State,
    install: fn() -> anyhow::Result<()>,
}

/// What a check found.
#[derive(Debug)]
enum State {
    Present {
        found: String,
    },
    /// With what `setup` would do about it.
    Missing {
        remedy: String,
    },
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.check {
        return Ok(if report() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ensure()?;
    report();
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing; silent when nothing is.
pub fn ensure() -> anyhow::Result<()> {
    for item in &ITEMS {
        if let State::Missing { remedy } = (item.check)() {
            eprintln!("{} is missing: {remedy}", item.name);
            (item.install)().with_context(|| format!("setting up: {}", item.name))?;
        }
    }
    Ok(())
}

/// Is all there?
fn report() -> bool {
    let states = ITEMS.map(|item| (item.name, (item.check)()));
    let complete = states.iter().all(|(_, state)| matches!(state, State::Present { .. }));
    let rows = states.map(|(name, state)| {
        let (word, detail) = match state {
            State::Present { found } => ("present", found),
            State::Missing { remedy } => ("missing", format!("to do: {remedy}")),
        };
        [name.to_owned(), word.to_owned(), detail]
    });
    table::print(["item", "state", "which"], &rows);
    complete
}
