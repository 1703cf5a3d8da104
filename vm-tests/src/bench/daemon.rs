//! A program that runs in a part of the lab until it is dropped.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, copy, sink},
    process::{Child, Command},
    time::timeout,
};

use super::LAB;
use crate::{place::Inside, state};

const SERVES: Duration = Duration::from_secs(15);

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
        let output = create(&log)?;
        let said = output.try_clone()?;
        Self::spawn(inside, program, arguments, said.into(), output, log).await
    }

    /// Of a program that says something on its standard output as soon as it serves.
    pub(crate) async fn serving(
        inside: &Inside,
        program: &Path,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let (said, output) = (Stdio::piped(), create(&log)?);
        let mut daemon = Self::spawn(inside, program, arguments, said, output, log).await?;
        let mut said = daemon.child.stdout.take().context("its standard output")?;
        match timeout(SERVES, said.read_u8()).await {
            Ok(Ok(_)) => {}
            Ok(Err(_closed)) => bail!("{}: {}", program.display(), daemon.end().await?),
            Err(_) => bail!("{}: does not serve after {SERVES:?}", program.display()),
        }
        // Nobody wants the rest, but a full pipe would stop it.
        tokio::spawn(async move { copy(&mut said, &mut sink()).await });
        Ok(daemon)
    }

    async fn spawn(
        inside: &Inside,
        program: &Path,
        arguments: Vec<String>,
        said: Stdio,
        complaints: File,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(state::MARK, LAB)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(complaints)
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
        Some(self.last_words(status))
    }

    async fn end(&mut self) -> anyhow::Result<String> {
        let status = self.child.wait().await?;
        Ok(self.last_words(status))
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        format!("it has ended: {status}: {}", said.trim())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its workers too. An error means that they have all ended.
        killpg(self.group, Signal::SIGKILL).ok();
    }
}

fn create(log: &Path) -> anyhow::Result<File> {
    File::create(log).with_context(|| format!("creating {}", log.display()))
}
