//! What process 1 of a virtual machine owes the others: file systems, modules, an end.

use std::{
    convert::Infallible,
    env, fs,
    fs::File,
    path::Path,
    process::{Child, Command, ExitCode},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        resource::{Resource, setrlimit},
        wait::{WaitStatus, wait},
    },
    unistd::Pid,
};

use super::{report::Report, said::Said};
use crate::links::Links;

const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
];
/// Files of modules that the host has unpacked here, a line each, what others need first.
const MODULES: &str = "/modules/order";
/// More than any scenario opens.
const FILES: u64 = 65_536;

/// Starts this program again as an ordinary process, and powers the machine off after its end.
pub(super) fn supervise(to: Option<&Path>) -> anyhow::Result<ExitCode> {
    // Before that there is no device to say anything to; the kernel panics, and the console has it.
    mount_all()?;
    let report = Report::open(to)?;
    if let Err(error) = prepare().and_then(|()| work()) {
        report.say(&Said::Broken { why: format!("{error:#}") });
    }
    nix::unistd::sync();
    match reboot(RebootMode::RB_POWER_OFF) {
        Err(error) => bail!("powering off: {error}"),
        Ok(never) => match never {},
    }
}

fn mount_all() -> anyhow::Result<()> {
    for (kind, at) in MOUNTS {
        fs::create_dir_all(at).with_context(|| format!("creating {at}"))?;
        match mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>) {
            // The kernel may have mounted /dev by itself.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => bail!("mounting {kind} on {at}: {error}"),
        }
    }
    Ok(())
}

fn prepare() -> anyhow::Result<()> {
    load_modules()?;
    setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES).context("raising the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Links::open()?.up("lo").await })
}

fn load_modules() -> anyhow::Result<()> {
    let order = fs::read_to_string(MODULES).with_context(|| format!("reading {MODULES}"))?;
    for name in order.lines() {
        let path = Path::new("/modules").join(name);
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => bail!("loading {name}: {error}"),
        }
    }
    Ok(())
}

/// Until it ends; whoever has lost its parent is waited for too.
fn work() -> anyhow::Result<()> {
    let child = start()?;
    let id = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        match wait().context("waiting for a process")? {
            // It has said what came of the scenarios.
            WaitStatus::Exited(ended, 0 | 1) if ended == id => return Ok(()),
            WaitStatus::Exited(ended, code) if ended == id => bail!("it ended with code {code}"),
            WaitStatus::Signaled(ended, signal, _) if ended == id => bail!("{signal} ended it"),
            _ => {}
        }
    }
}

fn start() -> anyhow::Result<Child> {
    let mut command = Command::new(env::current_exe().context("finding this program")?);
    command.args(env::args_os().skip(1)).env("PATH", "/bin").env("HOME", "/tmp");
    command.spawn().context("starting it as an ordinary process")
}

/// In place of this process, on its terminal.
pub(super) fn shell() -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    println!("`exit` powers the machine off; `scenarios --list`, `enigate-lab guest --only NAME`");
    let never: Result<Infallible, _> = Err(Command::new("/bin/sh").arg("-i").exec());
    match never.context("starting /bin/sh")? {}
}
