//! `enigate-load run`, in the client's place.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
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
    to: String,
}

/// A load that goes on until it is told to end. Dropping it ends it as well.
pub(crate) struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Loader {
    pub(crate) fn new(inside: &Inside, binary: &Path, to: &[SocketAddr]) -> Self {
        let to: Vec<_> = to.iter().map(SocketAddr::to_string).collect();
        Self { inside: inside.clone(), binary: binary.to_owned(), to: to.join(",") }
    }

    pub(crate) async fn start(&self, arguments: Vec<String>) -> anyhow::Result<Going> {
        let mut command = Command::new(&self.binary);
        command
            .args(["run", "--to", &self.to])
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
