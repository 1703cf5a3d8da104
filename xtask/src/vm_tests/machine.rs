//! A virtual machine: QEMU, what it is started with, and what is heard of it.

mod accel;
mod silence;
mod watch;

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

pub use self::accel::Accel;
use self::accel::Engine;
use super::{
    kernels::Kernel,
    outcome::{Fault, Run},
};
use crate::cargo;

/// What the agent's log, many connections and the lab's binaries take, in MiB.
const MEMORY: &str = "2048";
/// A panic ends the machine at once, as does what a kernel would go on after. There are no secrets
/// in it, to be kept from anybody at the price of its speed.
const KERNEL_LINE: &str = "console=ttyS0 panic=-1 oops=panic mitigations=off init_on_alloc=0 \
                           rdinit=/bin/enigate-lab";
/// Scenarios that have no end of their own take less of an emulated machine's time, and do less at a
/// time.
const SCALE: &str = "EG_CHURN=6 EG_CROWD=20";

/// As much of its command line as a kernel keeps.
const LONGEST_LINE: usize = 2047;

/// What a machine is to do.
#[derive(Clone, Debug)]
pub struct Work {
    /// Say what the kernel offers the agent.
    pub offers: bool,
    /// Only scenarios that have one of these in their names.
    pub only: Vec<String>,
}

pub struct Guest {
    kernel: Kernel,
    vmlinuz: PathBuf,
    /// What the machine runs, and its kernel's modules behind that.
    initrd: PathBuf,
    work: Work,
    /// For what comes of it.
    folder: PathBuf,
}

impl Guest {
    pub fn new(
        kernel: Kernel,
        vmlinuz: PathBuf,
        root: &Path,
        modules: &Path,
        work: &Work,
    ) -> anyhow::Result<Self> {
        ensure!(vmlinuz.is_file(), "{}: is no file", vmlinuz.display());
        let folder = cargo::kernels().join("results").join(&kernel.name);
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let initrd = cargo::kernels().join(format!("{}.initrd", kernel.name));
        let mut out = File::create(&initrd).with_context(|| format!("{}", initrd.display()))?;
        for part in [root, modules] {
            let mut part = File::open(part).with_context(|| format!("{}", part.display()))?;
            io::copy(&mut part, &mut out).context("writing the machine's files")?;
        }
        Ok(Self { kernel, vmlinuz, initrd, work: work.clone(), folder })
    }

    fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn qemu(&self, engine: Engine) -> Command {
        let mut command = ending_with_us("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-M", "pc", "-m", MEMORY]).args(engine.flags());
        command.arg("-kernel").arg(&self.vmlinuz).arg("-initrd").arg(&self.initrd);
        command
    }

    /// Its second serial line is our standard input and output.
    fn start(&self, engine: Engine) -> anyhow::Result<Child> {
        let clocks = engine.kernel_line();
        let line = format!("{KERNEL_LINE}{clocks} {SCALE} -- guest --to /dev/ttyS1{}", self.work);
        ensure!(line.len() <= LONGEST_LINE, "--only: longer than a kernel's command line: {line}");
        let complaints = File::create(self.folder.join("qemu.log")).context("creating qemu.log")?;
        let mut command = self.qemu(engine);
        command.arg("-append").arg(line);
        command.arg("-serial").arg(format!("file:{}", self.console().display()));
        command.args(["-serial", "stdio"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(complaints);
        command.spawn().context("starting qemu-system-x86_64 by way of setpriv")
    }
}

/// What it becomes is killed when the thread that starts it ends, whatever ends that: a machine
/// that nobody watches would keep a processor busy for good.
fn ending_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// As the guest's flags.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offers {
            f.write_str(" --offers")?;
        }
        match self.only.as_slice() {
            [] => Ok(()),
            only => write!(f, " --only {}", only.join(",")),
        }
    }
}

/// Where kvm was only a guess, and nothing is heard of the machine, it is emulated.
pub fn run(guest: &Guest, accel: Accel) -> Run {
    let engine = accel.engine();
    let run = once(guest, engine);
    let is_guess = accel == Accel::Auto && engine == Engine::Kvm;
    if is_guess && matches!(run.fault, Some(Fault::Silent { .. } | Fault::Ended(_))) {
        println!("{}: no machine with kvm here, it is emulated", guest.kernel.name);
        return once(guest, Engine::Tcg);
    }
    run
}

fn once(guest: &Guest, engine: Engine) -> Run {
    let began = Instant::now();
    let mut run = Run::new(guest.kernel.clone(), guest.console());
    match guest.start(engine) {
        Ok(child) => watch::watch(child, &mut run),
        Err(error) => run.fault = Some(Fault::Ended(format!("{error:#}"))),
    }
    if let Err(error) = keep(guest, &run) {
        println!("{}: {error:#}", guest.kernel.name);
    }
    run.took = began.elapsed();
    run
}

/// The verifier's log, and what scenarios said that did not pass.
fn keep(guest: &Guest, run: &Run) -> anyhow::Result<()> {
    let verifier = run.verifier();
    if !verifier.is_empty() {
        let file = guest.folder.join("verifier.log");
        fs::write(&file, verifier.join("\n\n")).context("keeping the verifier's log")?;
        println!("{}: a program does not load: {}", guest.kernel.name, file.display());
    }
    for scenario in run.scenarios.iter().filter(|scenario| !scenario.output.is_empty()) {
        let file = guest.folder.join(format!("{}.log", scenario.name.replace("::", ".")));
        fs::write(&file, &scenario.output).with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}

/// On this terminal, until the machine is off.
pub fn shell(guest: &Guest, accel: Accel) -> anyhow::Result<ExitCode> {
    let engine = accel.engine();
    let mut command = guest.qemu(engine);
    let clocks = engine.kernel_line();
    command.arg("-append").arg(format!("{KERNEL_LINE}{clocks} quiet -- guest --shell"));
    cargo::succeed(command.args(["-serial", "mon:stdio"]))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::ExitStatusExt as _,
        thread,
    };

    use nix::sys::signal::Signal;

    use super::*;

    /// Returns once it runs; it would end by itself, and otherwise.
    fn sleeper() -> Child {
        let mut command = ending_with_us("sh");
        command.args(["-c", "echo up; exec sleep 20"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("setpriv");
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut String::new()).expect("a word");
        child
    }

    #[test]
    fn a_machine_ends_with_the_thread_that_has_started_it() {
        let mut child = thread::spawn(sleeper).join().expect("no panic");
        let exit = child.wait().expect("its end");
        assert_eq!(exit.signal(), Some(Signal::SIGKILL as i32), "{exit}");
    }
}
