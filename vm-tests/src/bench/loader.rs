//! `enigate-load run`, in the client's place.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{LAB, load::Outcome};
use crate::{place::Inside, state};

/// Longer than any load and the patience of its last connection.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Loader {
    inside: Inside,
    binary: PathBuf,
    to: Vec<SocketAddr>,
}

/// A load that goes on until it is told to end. Dropping it ends it as well.
pub(crate) struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Loader {
    pub(crate) fn new(inside: &Inside, binary: &Path, to: &[SocketAddr]) -> Self {
        Self { inside: inside.clone(), binary: binary.to_owned(), to: to.to_vec() }
    }

    /// The first of them, for who takes no more.
    pub(crate) fn target(&self) -> SocketAddr {
        self.to[0]
    }

    /// What another program says, in the same place.
    pub(crate) async fn others(
        &self,
        program: &'static str,
        arguments: Vec<String>,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).env(state::MARK, LAB).stdin(Stdio::null()).kill_on_drop(true);
        let done = async move { Ok(timeout(PATIENCE, command.output()).await) };
        let done = self.inside.run(done).await?;
        let done = done.with_context(|| format!("{program}: not within {PATIENCE:?}"))?;
        let done = done.with_context(|| format!("starting {program}"))?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{program}: {}: {said}{complaint}", done.status);
        Ok(said)
    }

    pub(crate) async fn start(&self, arguments: Vec<String>) -> anyhow::Result<Going> {
        let to: Vec<_> = self.to.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(&self.binary);
        command
            .args(["run", "--to", &to.join(",")])
            .args(arguments)
            .env(state::MARK, LAB)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let start = async move {
            let mut child = command.spawn()?;
            let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
            Ok(Going { child, lines })
        };
        self.inside.run(start).await.with_context(|| format!("starting {}", self.binary.display()))
    }
}

impl Going {
    /// The next line of what it measured.
    pub(crate) async fn outcome(&mut self) -> anyhow::Result<Outcome> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        match line.with_context(|| format!("the load: no result within {PATIENCE:?}"))?? {
            Some(line) => serde_json::from_str(&line).with_context(|| format!("the load: {line}")),
            None => bail!("the load ended without a result: {}", self.child.wait().await?),
        }
    }

    /// Its standard input ends.
    pub(crate) fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }
}
