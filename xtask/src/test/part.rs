//! The parts of the test run: what each is called, what it needs, which commands it is.

use std::{
    ffi::OsString,
    fmt, fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use super::{fuzz, report::Outcome};
use crate::{
    cargo::{self, Ebpf, Profile},
    vm_tests,
};

/// Labs are busy: more of them at a time than this measure the machine, not the agent.
const LABS_AT_A_TIME: &str = "2";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ring {
    /// Format, clippy, and cargo-deny where it is installed
    Lints,
    /// Unit and property tests on the host
    Units,
    /// The parsers of what strangers send, under a fuzzer, a minute each
    Fuzz,
    /// The eBPF programs, run by the kernel on single packets
    Programs,
    /// The agent in a small VPC of network namespaces
    Scenarios,
    /// Some of the scenarios on each supported kernel, in virtual machines
    Kernels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Format,
    Clippy,
    Licences,
    Vagrantfile,
    Units,
    Fuzz,
    Programs,
    Scenarios,
    Kernels,
}

impl Part {
    pub const ALL: [Self; 9] = [
        Self::Format,
        Self::Clippy,
        Self::Licences,
        Self::Vagrantfile,
        Self::Units,
        Self::Fuzz,
        Self::Programs,
        Self::Scenarios,
        Self::Kernels,
    ];

    pub fn ring(self) -> Ring {
        match self {
            Self::Format | Self::Clippy | Self::Licences | Self::Vagrantfile => Ring::Lints,
            Self::Units => Ring::Units,
            Self::Fuzz => Ring::Fuzz,
            Self::Programs => Ring::Programs,
            Self::Scenarios => Ring::Scenarios,
            Self::Kernels => Ring::Kernels,
        }
    }

    pub fn needs_root(self) -> bool {
        matches!(self, Self::Programs | Self::Scenarios | Self::Kernels)
    }

    pub fn run(self, ebpf: Ebpf, harness: &[OsString]) -> Outcome {
        if let Some(why) = self.unavailable() {
            return Outcome::Unavailable(why);
        }
        let started = Instant::now();
        match self.succeed(ebpf, harness) {
            Ok(()) => Outcome::Passed(started.elapsed()),
            Err(error) => Outcome::Failed(started.elapsed(), format!("{error:#}")),
        }
    }

    /// Why the part is left out here.
    fn unavailable(self) -> Option<String> {
        let missing = self.optional_tool().filter(|tool| !is_there(tool));
        match self {
            Self::Kernels => vm_tests::unavailable(),
            _ => missing.map(|tool| format!("{tool} is not installed")),
        }
    }

    /// Without which the part is left out. With root, setup has installed cargo-fuzz.
    fn optional_tool(self) -> Option<&'static str> {
        match self {
            Self::Licences => Some("cargo-deny"),
            Self::Vagrantfile => Some("vagrant"),
            Self::Fuzz => Some("cargo-fuzz"),
            _ => None,
        }
    }

    fn succeed(self, ebpf: Ebpf, harness: &[OsString]) -> anyhow::Result<()> {
        let commands = self.commands(ebpf, harness)?;
        commands.into_iter().try_for_each(|mut command| cargo::succeed(&mut command))?;
        match self {
            Self::Fuzz => fuzz::run(),
            Self::Kernels => vm_tests::subset(),
            _ => Ok(()),
        }
    }

    /// The whole workspace each time: with parts of it, cargo would build dependencies again
    /// that others have asked for with other features.
    fn commands(self, ebpf: Ebpf, harness: &[OsString]) -> anyhow::Result<Vec<Command>> {
        let cargo = |words: &[&str]| {
            let mut command = cargo::cargo(ebpf);
            command.args(words);
            command
        };
        let tests = |targets: Vec<String>| {
            let mut command = cargo(&["test", "--workspace"]);
            command.args(targets).arg("--").args(harness);
            command
        };
        Ok(match self {
            Self::Format => {
                let fuzzers = ["fmt", "--check", "--manifest-path", "proxy-user/fuzz/Cargo.toml"];
                vec![cargo(&["fmt", "--all", "--check"]), cargo(&fuzzers)]
            }
            Self::Clippy => {
                vec![cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])]
            }
            Self::Licences => vec![cargo(&["deny", "--workspace", "check"])],
            Self::Vagrantfile => vec![vagrant()],
            Self::Units => vec![tests(vec!["--lib".into(), "--bins".into()])],
            Self::Fuzz => vec![fuzz::build()],
            Self::Programs => vec![tests(targets_of("proxy-user")?)],
            Self::Scenarios => {
                let targets = targets_of("vm-tests")?;
                // At once: apart, cargo would build the agent twice, with other features.
                let mut build = cargo(&["build", "--workspace", "--bins"]);
                build.args(&targets);
                let mut scenarios = tests(targets);
                scenarios
                    .env("EG_AGENT", cargo::binary(Profile::Dev, "enigate")?)
                    .env("RUST_TEST_THREADS", LABS_AT_A_TIME);
                vec![build, scenarios]
            }
            Self::Kernels => vec![],
        })
    }
}

/// `--test` with each target in the package's folder of tests: a file, or a folder with a main.rs.
fn targets_of(package: &str) -> anyhow::Result<Vec<String>> {
    let folder = cargo::root().join(package).join("tests");
    let mut targets = Vec::new();
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()));
    for entry in entries? {
        let path = entry?.path();
        let is_target = path.join("main.rs").is_file() || path.extension() == Some("rs".as_ref());
        if is_target && let Some(name) = path.file_stem() {
            targets.push(format!("--test={}", name.display()));
        }
    }
    ensure!(!targets.is_empty(), "{}: no tests there", folder.display());
    targets.sort();
    Ok(targets)
}

/// No provider is asked for: the file is right or wrong without one.
fn vagrant() -> Command {
    let mut command = Command::new("vagrant");
    command.args(["validate", "--ignore-provider"]).current_dir(cargo::root().join("vm-tests"));
    // It would ask whether there is a newer Vagrant.
    command.env("VAGRANT_CHECKPOINT_DISABLE", "1");
    command
}

/// A program, or a subcommand of cargo.
fn is_there(tool: &str) -> bool {
    let mut asked = match tool.strip_prefix("cargo-") {
        Some(subcommand) => {
            let mut cargo = cargo::cargo(Ebpf::IfFound);
            cargo.arg(subcommand);
            cargo
        }
        None => Command::new(tool),
    };
    asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Licences => "licences and advisories",
            Self::Vagrantfile => "Vagrantfile",
            Self::Units => "units and properties",
            Self::Fuzz => "fuzzers",
            Self::Programs => "eBPF programs",
            Self::Scenarios => "scenarios",
            Self::Kernels => "kernels",
        })
    }
}
