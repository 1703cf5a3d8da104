//! A program that runs in a part of the lab until it is dropped.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::LAB;
use crate::{place::Inside, state};

/// It and all it has started, which is a process group.
pub(crate) struct Daemon {
    child: Child,
    group: Pid,
    log: PathBuf,
}

impl Daemon {
    pub(crate) async fn start(
        inside: &Inside,
        program: &Path,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(state::MARK, LAB)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        // A child inherits the namespace of the thread that starts it.
        let child = inside.run(async move { command.spawn().map_err(Into::into) }).await;
        let child = child.with_context(|| format!("starting {}", program.display()))?;
        let id = child.id().context("it has ended already")?;
        Ok(Self { child, group: Pid::from_raw(i32::try_from(id)?), log })
    }

    pub(crate) fn group(&self) -> u32 {
        self.group.as_raw().unsigned_abs()
    }

    /// What it wrote, if it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        Some(format!("it has ended: {status}: {}", said.trim()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its workers too. An error means that they have all ended.
        killpg(self.group, Signal::SIGKILL).ok();
    }
}
