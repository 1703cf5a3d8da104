//! `cargo xtask vm-tests`: the scenarios of the lab on kernels that are not this machine's, each in
//! a virtual machine.

mod apt;
mod docs;
mod image;
mod junit;
mod kernels;
mod machine;
mod modules;
mod outcome;
mod refresh;
#[path = "../../vm-tests/src/guest/said.rs"]
mod said;
mod summary;

use std::{path::PathBuf, process::ExitCode, thread};

use anyhow::Context as _;

use crate::{cargo, setup, table};
use kernels::{Kernel, Kernels};
use machine::{Accel, Guest, Work};
use outcome::Run;

#[derive(clap::Args)]
pub struct Args {
    /// Only this kernel of kernels.toml; may be given more than once [default: all]
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Only scenarios that have one of these in their names
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// Only supported kernels, and the scenarios that `cargo xtask test` runs on them
    #[arg(long, conflicts_with = "only")]
    subset: bool,
    /// What runs the machine's code; auto is kvm where it works, else tcg, which emulates it
    #[arg(long, value_name = "ACCEL", default_value = "auto")]
    accel: Accel,
    /// A kernel of yours in place of those in kernels.toml
    #[arg(long, value_name = "FILE", requires = "modules", conflicts_with = "kernel")]
    vmlinuz: Option<PathBuf>,
    /// Its modules: the folder lib/modules/VERSION
    #[arg(long, value_name = "DIR", requires = "vmlinuz")]
    modules: Option<PathBuf>,
    /// Machines at a time; each keeps one processor busy
    #[arg(long, value_name = "MACHINES", default_value_t = 2)]
    jobs: usize,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what the kernels offer to docs/kernels.md; those that did not run keep what it has of them
    #[arg(long, conflicts_with_all = ["only", "subset", "vmlinuz"])]
    docs: bool,
    /// A shell in the machine, on this terminal, in place of scenarios
    #[arg(long)]
    shell: bool,
    /// Only list the kernels
    #[arg(long)]
    list: bool,
    /// Pin the newest packages of each series in kernels.toml
    #[arg(long)]
    refresh: bool,
    /// Only put together what the machines run, in target/kernels/root, for vm-tests/Vagrantfile
    #[arg(long)]
    image: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let kernels = Kernels::read()?;
    if args.list {
        list(&kernels);
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(setup::Purpose::Machines)?;
    if args.refresh {
        refresh::run(kernels)?;
    } else if args.image {
        println!("{}", image::root(false)?.display());
    } else {
        return on_machines(args, &kernels);
    }
    Ok(ExitCode::SUCCESS)
}

fn on_machines(args: &Args, kernels: &Kernels) -> anyhow::Result<ExitCode> {
    let guests = guests(args, kernels)?;
    if args.shell {
        let guest = guests.first().context("--shell: there is no kernel")?;
        return machine::shell(guest, args.accel);
    }
    let runs = run_all(&guests, args.accel, args.jobs.max(1));
    finish(args, &runs, kernels)
}

/// Why no kernel can be had, where a host is none of Debian's.
pub fn unavailable() -> Option<String> {
    let kernels = Kernels::read().ok()?;
    apt::unreachable(&kernels.chosen(&[], true).ok()?)
}

/// The subset of scenarios on all supported kernels, as a part of all tests.
pub fn subset() -> anyhow::Result<()> {
    use clap::FromArgMatches as _;
    let command = <Args as clap::Args>::augment_args(clap::Command::new("vm-tests"));
    let matches = command.try_get_matches_from(["vm-tests", "--subset"])?;
    let code = run(&Args::from_arg_matches(&matches)?)?;
    anyhow::ensure!(
        code == ExitCode::SUCCESS,
        "a kernel fails; `cargo xtask vm-tests` runs it alone"
    );
    Ok(())
}

fn list(kernels: &Kernels) {
    let rows: Vec<_> = kernels.kernel.iter().map(Kernel::row).collect();
    table::print(["kernel", "like", "suite", "support", "package", "version"], &rows);
}

fn guests(args: &Args, kernels: &Kernels) -> anyhow::Result<Vec<Guest>> {
    let work = work(args, kernels);
    let root = image::root(args.shell)?;
    let initrd = image::pack(&root)?;
    if let (Some(vmlinuz), Some(folder)) = (&args.vmlinuz, &args.modules) {
        let modules = modules::pack(folder, &cargo::kernels().join("own"))?;
        let kernel = Kernel::own(vmlinuz);
        return Ok(vec![Guest::new(kernel, vmlinuz.clone(), &initrd, &modules, &work)?]);
    }
    let chosen = kernels.chosen(&args.kernel, args.subset)?;
    let guest = |kernel: &Kernel| {
        let fetched = apt::fetch(kernel)?;
        Guest::new(kernel.clone(), fetched.vmlinuz, &initrd, &fetched.modules, &work)
    };
    chosen.into_iter().map(guest).collect()
}

/// What a kernel offers takes as long to find out as some scenarios.
fn work(args: &Args, kernels: &Kernels) -> Work {
    let only = if args.subset { &kernels.subset } else { &args.only };
    Work { offers: args.docs || only.is_empty(), only: only.clone() }
}

/// In the order of the kernels; so many at a time.
fn run_all(guests: &[Guest], accel: Accel, jobs: usize) -> Vec<Run> {
    let next = std::sync::Mutex::new(guests.iter().enumerate());
    let take = || next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let work = || {
        let mut runs = Vec::new();
        while let Some((place, guest)) = take() {
            runs.push((place, machine::run(guest, accel)));
        }
        runs
    };
    let mut runs: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panics")).collect()
    });
    runs.sort_by_key(|(place, _)| *place);
    runs.into_iter().map(|(_, run)| run).collect()
}

fn finish(args: &Args, runs: &[Run], kernels: &Kernels) -> anyhow::Result<ExitCode> {
    summary::print(runs);
    if let Some(file) = &args.junit {
        junit::write(file, runs)?;
    }
    if args.docs {
        docs::write(runs, kernels)?;
    }
    let good = runs.iter().all(|run| run.kernel.is_best_effort() || run.failures().is_empty());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
