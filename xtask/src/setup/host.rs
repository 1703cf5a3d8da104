//! What the host itself must have: a C compiler, bpffs, the lints.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::geteuid,
};

use super::{State, apt};
use crate::{
    cargo::{self, Ebpf},
    progress,
};

const BPFFS: &str = "/sys/fs/bpf";

pub fn compiler() -> State {
    match (on_path("cc"), on_path("c++"), on_path("make")) {
        (Some(c), Some(_), Some(_)) => State::Present { found: c.display().to_string() },
        _ => State::Missing { remedy: "apt-get install build-essential".into() },
    }
}

pub fn install_compiler() -> anyhow::Result<()> {
    apt::install(&["build-essential"])
}

pub fn bpffs() -> State {
    if statfs(BPFFS).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC) {
        State::Present { found: BPFFS.into() }
    } else {
        State::Missing { remedy: format!("mount it on {BPFFS}, where maps are pinned") }
    }
}

pub fn mount_bpffs() -> anyhow::Result<()> {
    ensure!(geteuid().is_root(), "needs root: mount -t bpf bpf {BPFFS}");
    mount(Some("bpf"), Path::new(BPFFS), Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mounting the BPF file system on {BPFFS}"))
}

pub fn lints() -> State {
    let versions: Option<Vec<_>> = ["fmt", "clippy"].into_iter().map(version).collect();
    match versions {
        Some(versions) => State::Present { found: versions.join(", ") },
        None => State::Missing { remedy: "rustup component add rustfmt clippy".into() },
    }
}

pub fn install_lints() -> anyhow::Result<()> {
    progress::run(
        "installing rustfmt and clippy",
        Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]),
    )
}

fn version(subcommand: &str) -> Option<String> {
    let output = cargo::cargo(Ebpf::IfFound).args([subcommand, "--version"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
