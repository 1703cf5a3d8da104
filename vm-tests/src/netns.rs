//! Named network namespaces, as `ip netns` keeps them: a bind mount under /run/netns for each.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, anyhow};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

const FOLDER: &str = "/run/netns";

/// A namespace of ours; dropping it takes the name away.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    path: PathBuf,
}

impl Netns {
    pub(crate) fn create(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(FOLDER).join(name);
        fs::create_dir_all(FOLDER).with_context(|| format!("creating {FOLDER}"))?;
        File::create_new(&path).with_context(|| format!("creating {}", path.display()))?;
        let made = mount_new_namespace(&path)
            .and_then(|()| File::open(&path).context("opening it"))
            .with_context(|| format!("making the network namespace {name}"));
        match made {
            Ok(file) => Ok(Self { file, path }),
            Err(error) => {
                fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }

    /// Moves the calling thread in; what it starts afterwards is inside too.
    pub(crate) fn enter(&self) -> nix::Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.path) {
            tracing::warn!("removing {}: {error}", self.path.display());
        }
    }
}

/// Deletes every namespace whose name begins so; returns their names.
pub(crate) fn delete_by_prefix(prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut deleted = Vec::new();
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(deleted),
        entries => entries.with_context(|| format!("reading {FOLDER}"))?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            remove_file(&entry.path()).with_context(|| format!("deleting namespace {name}"))?;
            deleted.push(name);
        }
    }
    Ok(deleted)
}

/// On a thread of its own, so that the caller stays where it is.
fn mount_new_namespace(path: &Path) -> anyhow::Result<()> {
    let here = |path: &Path| -> anyhow::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .context("bind mount")
    };
    thread::scope(|scope| scope.spawn(|| here(path)).join())
        .unwrap_or_else(|_| Err(anyhow!("the thread that makes it panicked")))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // A file that a crash left before it was mounted over.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => fs::remove_file(path),
        Err(error) => Err(error.into()),
    }
}
