//! `cargo xtask setup`: what building, running and testing take beside the Rust that started this.

mod apt;
mod ebpf;
mod fuzz;
mod host;
mod machines;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::table;

#[derive(clap::Args)]
pub struct Args {
    /// Only report; exit code 1 if something is missing
    #[arg(long)]
    check: bool,
}

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Building the agent and running it; the tests take it too.
    Work,
    Tests,
    /// Running the tests in virtual machines, beside building.
    Machines,
}

/// In the order in which they are installed: later ones need earlier ones.
const ITEMS: [Item; 7] = [
    Item::new("C and C++ compiler", Purpose::Work, host::compiler, host::install_compiler),
    Item::new("eBPF compiler", Purpose::Work, ebpf::compiler, ebpf::install),
    Item::new("bpf-linker", Purpose::Work, ebpf::linker, ebpf::install),
    Item::new("BPF file system", Purpose::Work, host::bpffs, host::mount_bpffs),
    Item::new("rustfmt and clippy", Purpose::Tests, host::lints, host::install_lints),
    Item::new("cargo-fuzz", Purpose::Tests, fuzz::tool, fuzz::install),
    Item::new("QEMU and kmod", Purpose::Machines, machines::tools, machines::install),
];

struct Item {
    name: &'static str,
    purpose: Purpose,
    check: Check,
    install: Install,
}

type Check = fn() -> State;
type Install = fn() -> anyhow::Result<()>;

impl Item {
    const fn new(name: &'static str, purpose: Purpose, check: Check, install: Install) -> Self {
        Self { name, purpose, check, install }
    }

    fn is_for(&self, purpose: Purpose) -> bool {
        // The tests have a part in machines.
        let part = purpose == Purpose::Tests && self.purpose == Purpose::Machines;
        self.purpose == Purpose::Work || self.purpose == purpose || part
    }
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
    ensure(Purpose::Tests)?;
    report();
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing; silent when nothing is.
pub fn ensure(purpose: Purpose) -> anyhow::Result<()> {
    for item in ITEMS.iter().filter(|item| item.is_for(purpose)) {
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
