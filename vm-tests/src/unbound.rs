//! A resolver from Debian's packages between the agent and the zone: what users have in place of
//! the lab's own. It is started by itself, with a configuration of its own, and leaves no trace.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::{launch::Launch, place::Inside, plan::ENDPOINT, state, tool::on_path};

const PROGRAM: &str = "unbound";
const STARTED: &str = "start of service";
const START: Duration = Duration::from_secs(15);

/// Killed when it is dropped.
pub(crate) struct Unbound(#[expect(dead_code, reason = "held for its end")] Child);

/// Where it is not, `apt-get install --no-install-recommends unbound` brings it.
pub fn has_unbound() -> bool {
    on_path(PROGRAM).is_some()
}

impl Unbound {
    /// Listens at `listen`, and asks `zone` for the endpoint's name; returns when it serves.
    pub(crate) async fn start(
        inside: &Inside,
        launch: &Launch,
        config: PathBuf,
        listen: SocketAddr,
        zone: SocketAddr,
    ) -> anyhow::Result<Self> {
        let program = on_path(PROGRAM).context("unbound is not installed")?;
        let folder = config.parent().context("a file in a folder")?;
        fs::write(&config, configuration(folder, listen, zone))
            .with_context(|| format!("writing {}", config.display()))?;
        let lab = launch.lab.clone();
        let start = async move {
            let mut child = Command::new(program)
                .args(["-d", "-p", "-c"])
                .arg(config)
                .env(state::MARK, lab)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .context("starting unbound")?;
            let said = BufReader::new(child.stderr.take().context("its output")?).lines();
            let said = timeout(START, until_started(said)).await;
            let mut said = said.with_context(|| format!("unbound: not up within {START:?}"))??;
            // Nobody wants it, but a full pipe would stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
            Ok(child)
        };
        inside.run(start).await.map(Self)
    }
}

async fn until_started(
    mut lines: Lines<BufReader<ChildStderr>>,
) -> anyhow::Result<Lines<BufReader<ChildStderr>>> {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if line.contains(STARTED) {
            return Ok(lines);
        }
        said = said + &line + "\n";
    }
    bail!("unbound ended: {said}")
}

/// It would not ask private addresses or loopback by itself, and takes no other identity.
fn configuration(folder: &Path, listen: SocketAddr, zone: SocketAddr) -> String {
    let (_, parent) = ENDPOINT.split_once('.').unwrap_or_default();
    let folder = folder.display();
    let (ip, port) = (listen.ip(), listen.port());
    let (zone_ip, zone_port) = (zone.ip(), zone.port());
    format!(
        "server:\n\
         \tinterface: {ip}@{port}\n\
         \taccess-control: 0.0.0.0/0 allow\n\
         \tdirectory: \"{folder}\"\n\
         \tchroot: \"\"\n\
         \tusername: \"\"\n\
         \tpidfile: \"\"\n\
         \tuse-syslog: no\n\
         \tlogfile: \"\"\n\
         \tverbosity: 1\n\
         \tnum-threads: 1\n\
         \tmodule-config: \"iterator\"\n\
         \tdo-not-query-localhost: no\n\
         remote-control:\n\
         \tcontrol-enable: no\n\
         stub-zone:\n\
         \tname: \"{parent}\"\n\
         \tstub-addr: {zone_ip}@{zone_port}\n"
    )
}
