//! `cargo xtask setup`: what building, running and testing take beside the Rust that started this.

mod apt;
mod bench;
mod ebpf;
mod fuzz;
mod host;
mod machines;
mod nftables;
mod vagrant;

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
    /// A check that is left out where this cannot be had.
    Vagrantfile,
    /// What enigate is compared with; a part of the comparison is left out without.
    Bench,
}

/// In the order in which they are installed: later ones need earlier ones.
const ITEMS: [Item; 10] = [
    Item::new("C and C++ compiler, make", Purpose::Work, host::compiler, host::install_compiler),
    Item::new("eBPF compiler", Purpose::Work, ebpf::compiler, ebpf::install),
    Item::new("bpf-linker", Purpose::Work, ebpf::linker, ebpf::install),
    Item::new("BPF file system", Purpose::Work, host::bpffs, host::mount_bpffs),
    Item::new("rustfmt and clippy", Purpose::Tests, host::lints, host::install_lints),
    Item::new("cargo-fuzz", Purpose::Tests, fuzz::tool, fuzz::install),
    Item::new("nftables", Purpose::Tests, nftables::tool, nftables::install),
    Item::new("QEMU and kmod", Purpose::Machines, machines::tools, machines::install),
    Item::new("Vagrant", Purpose::Vagrantfile, vagrant::tool, vagrant::install),
    Item::new("others to compare with", Purpose::Bench, bench::programs, bench::install),
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
        self.purpose == Purpose::Work || self.purpose == purpose
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
    /// Nothing can be done about it here; with what goes on without.
    Unavailable {
        why: String,
    },
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.check {
        return Ok(if report() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    install(&ITEMS.iter().collect::<Vec<_>>())?;
    report();
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing; silent when nothing is.
pub fn ensure(purpose: Purpose) -> anyhow::Result<()> {
    install(&ITEMS.iter().filter(|item| item.is_for(purpose)).collect::<Vec<_>>())
}

fn install(items: &[&Item]) -> anyhow::Result<()> {
    for item in items {
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
    let complete = !states.iter().any(|(_, state)| matches!(state, State::Missing { .. }));
    let rows = states.map(|(name, state)| {
        let (word, detail) = match state {
            State::Present { found } => ("present", found),
            State::Missing { remedy } => ("missing", format!("to do: {remedy}")),
            State::Unavailable { why } => ("left out", why),
        };
        [name.to_owned(), word.to_owned(), detail]
    });
    table::print(["item", "state", "which"], &rows);
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed_for(purpose: Purpose) -> Vec<&'static str> {
        ITEMS.iter().filter(|item| item.is_for(purpose)).map(|item| item.name).collect()
    }

    #[test]
    fn what_a_part_of_the_tests_takes_fails_no_other_part() {
        let tests = needed_for(Purpose::Tests);
        assert!(!tests.contains(&"QEMU and kmod") && !tests.contains(&"Vagrant"), "{tests:?}");
        assert!(!tests.contains(&"others to compare with"), "{tests:?}");
        let machines = needed_for(Purpose::Machines);
        assert!(machines.contains(&"QEMU and kmod") && machines.contains(&"eBPF compiler"));
    }
}
