//! How the agent is started, each time the same.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::process::Command;

use crate::plan::{ENDPOINT, Plan};

#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub lab: String,
    pub binary: PathBuf,
    pub arguments: Vec<String>,
    /// The caller's, which can change from one life to the next.
    pub flags: Vec<String>,
    /// What it writes, over all its lives.
    pub log: PathBuf,
    /// How many files it may open, where that is not as many as we may.
    pub files: Option<u64>,
}

/// What carries the connections, as far as the lab has a say.
pub(crate) enum Datapath<'a> {
    /// The agent's own choice; it may pin here.
    Free {
        pins: &'a Path,
    },
    Relay,
}

/// Where there is a file, that says which endpoints there are.
pub(crate) fn arguments(
    plan: &Plan,
    datapath: &Datapath,
    state: &Path,
    config: Option<&Path>,
) -> Vec<String> {
    let endpoint = match config {
        Some(file) => ("--config", file.display().to_string()),
        None => ("--endpoint", format!("{ENDPOINT}:{}", plan.api_port)),
    };
    let datapath = match datapath {
        Datapath::Free { pins } => ("--pin-dir", pins.display().to_string()),
        Datapath::Relay => ("--datapath", "relay".to_owned()),
    };
    let flags = [
        endpoint,
        ("--listen", plan.listen.to_string()),
        ("--resolver", plan.resolver.to_string()),
        ("--admin", plan.admin.to_string()),
        ("--state-dir", state.display().to_string()),
        // No load balancer is about to send more.
        ("--drain-accept", "0s".to_owned()),
        datapath,
    ];
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    ["run".to_owned()].into_iter().chain(flags).collect()
}

impl Launch {
    /// Without arguments. A shell limits itself, and becomes the agent.
    pub(crate) fn command(&self) -> Command {
        let Some(files) = self.files else { return Command::new(&self.binary) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\"")).arg(&self.binary);
        shell
    }

    pub(crate) fn open_log(&self) -> anyhow::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&self.log);
        file.with_context(|| format!("opening {}", self.log.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_is_asked_for_and_pins_are_not() {
        let state = Path::new("/run/lab/answers");
        let line = arguments(&Plan::vpc(false), &Datapath::Relay, state, None).join(" ");
        assert!(line.starts_with("run --endpoint "), "{line}");
        assert!(line.ends_with("--datapath relay") && !line.contains("--pin-dir"), "{line}");
    }
}
