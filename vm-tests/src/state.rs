//! What a lab leaves outside its namespaces, and how leftovers of a crash are found and removed.

use std::{
    env, fs,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        signal::{Signal, kill},
        statfs::{BPF_FS_MAGIC, statfs},
    },
    unistd::{Pid, geteuid},
};

use crate::{netns, network};

/// Environment variable that marks a lab's agent as ours.
pub(crate) const MARK: &str = "EG_LAB";

const BPFFS: &str = "/sys/fs/bpf";
const END: Duration = Duration::from_secs(5);
const LONGEST_NAME: usize = 64;

/// The folder of a running lab, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct State {
    lab: String,
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Fails when a lab of this name is running; takes away what a dead one has left.
    pub(crate) fn claim(lab: &str) -> anyhow::Result<(Self, Vec<String>)> {
        check_name(lab)?;
        let folder = folder(lab);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let lock = lock(&folder.join("lock"), lab)?;
        let removed = remove_leftovers(lab)?;
        Ok((Self { lab: lab.into(), folder, _lock: lock }, removed))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let file = self.file(name);
        fs::write(&file, content).with_context(|| format!("writing {}", file.display()))
    }
}

impl State {
    /// Removes one pin of the agent, in whichever folder of the pins it lies.
    pub(crate) fn unpin(&self, pin: &str) -> anyhow::Result<()> {
        let path = self.pin(pin)?;
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
    }

    /// Where the agent has this pin.
    pub(crate) fn pin(&self, pin: &str) -> anyhow::Result<PathBuf> {
        for layout in fs::read_dir(pins(&self.lab)).context("reading the pins")? {
            let path = layout?.path().join(pin);
            if path.exists() {
                return Ok(path);
            }
        }
        bail!("{pin}: is not pinned")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if geteuid().is_root()
            && let Err(error) = remove_pins(&self.lab)
        {
            tracing::warn!("{error:#}");
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Where the agent of this lab pins its maps and links.
pub(crate) fn pins(lab: &str) -> PathBuf {
    Path::new(BPFFS).join(format!("eg-{lab}"))
}

/// Agent, namespaces, pins: all that bears the lab's name. Says what it removed.
pub(crate) fn remove_leftovers(lab: &str) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for pid in agents_of(lab)? {
        end(pid)?;
        removed.push(format!("agent with process id {pid}"));
    }
    if !geteuid().is_root() {
        return Ok(removed);
    }
    let namespaces = netns::delete_by_prefix(&network::prefix(lab))?;
    removed.extend(namespaces.into_iter().map(|name| format!("network namespace {name}")));
    if remove_pins(lab)? {
        removed.push(format!("pinned maps in {}", pins(lab).display()));
    }
    Ok(removed)
}

/// Were there any?
fn remove_pins(lab: &str) -> anyhow::Result<bool> {
    let pins = pins(lab);
    match fs::remove_dir_all(&pins) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("removing {}", pins.display())),
    }
}

/// A bare guest or a fresh host may not have it mounted.
pub(crate) fn mount_bpffs() -> anyhow::Result<()> {
    if statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mounting the BPF file system on {BPFFS}"))
}

fn check_name(lab: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if lab.is_empty() || lab.len() > LONGEST_NAME || !lab.chars().all(plain) {
        bail!(
            "lab name {lab:?}: must be 1 to {LONGEST_NAME} of a-z, 0-9 and _ \
             (no hyphen: names of namespaces are told apart by it)"
        );
    }
    Ok(())
}

fn folder(lab: &str) -> PathBuf {
    let user = geteuid();
    if user.is_root() {
        Path::new("/run/enigate-lab").join(lab)
    } else {
        env::temp_dir().join(format!("enigate-lab-{user}")).join(lab)
    }
}

fn lock(path: &Path, lab: &str) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("a lab named {lab} is running: stop it first"),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// Of all labs: on a machine that has no other purpose, after one that did not end by itself.
pub(crate) fn end_all_agents() -> anyhow::Result<()> {
    let prefix = format!("{MARK}=");
    processes_with(|variable| variable.starts_with(prefix.as_bytes()))?
        .into_iter()
        .try_for_each(end)
}

fn agents_of(lab: &str) -> anyhow::Result<Vec<i32>> {
    let mark = format!("{MARK}={lab}");
    processes_with(|variable| variable == mark.as_bytes())
}

/// By their environment, in which one variable must be so.
fn processes_with(wanted: impl Fn(&[u8]) -> bool) -> anyhow::Result<Vec<i32>> {
    let is_ours = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(&wanted)
    };
    let processes = fs::read_dir("/proc").context("reading /proc")?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(is_ours).collect())
}

fn end(pid: i32) -> anyhow::Result<()> {
    kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("killing agent {pid}"))?;
    let deadline = Instant::now() + END;
    // A zombie has no environment: it is as good as gone.
    while fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| !e.is_empty()) {
        anyhow::ensure!(Instant::now() < deadline, "agent {pid} does not die");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_hyphen_is_refused_with_the_reason() {
        let error = check_name("demo-2").expect_err("a hyphen").to_string();
        assert!(error.contains("demo-2") && error.contains("no hyphen"), "{error}");
    }

    #[test]
    fn a_running_lab_is_not_claimed_twice() {
        let (held, _) = State::claim("unit_claimed_twice").expect("the first claim");
        let error = State::claim("unit_claimed_twice").expect_err("the second").to_string();
        assert!(error.contains("is running"), "{error}");
        drop(held);
        State::claim("unit_claimed_twice").expect("free again");
    }
}
