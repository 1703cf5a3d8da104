//! Whether this kernel can be trusted with a handover: tried before the first client comes, in network
//! and mount namespaces that nobody else is in, with everything that is used later.
//!
//! ```text
//! the agent --starts--> Tester: client and backend --starts--> Owner: listener, relay, programs
//! ```
//!
//! The owner is killed in the middle of it; the namespaces go with the last of the two.

mod owner;
mod tester;

use std::{net::Ipv4Addr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use thiserror::Error;
use tokio::{process::Command, runtime, time::timeout};

/// On the loopback interface, where there is room for all.
const LISTEN: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 2), 443);
const BACKEND: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 3), 6_443);
const INTERFACE: &str = "lo";
const PINS: &str = "/sys/fs/bpf/enigate";
/// For all of it; it takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Tester,
    Owner,
}

#[derive(Debug, Error)]
#[error("the self-test of the handover fails here: {0}")]
pub struct Failed(String);

/// By processes of this binary.
pub async fn run() -> Result<(), Failed> {
    let ended = timeout(
        PATIENCE,
        start(Role::Tester, Stdio::null()).map_err(|error| failed(&error))?.wait_with_output(),
    );
    let ended = ended.await.map_err(|_| Failed(format!("it has not ended within {PATIENCE:?}")))?;
    let ended = ended.map_err(|error| failed(&error.into()))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(Failed(format!("{last} ({})", ended.status)))
}

/// What a process of the test does; before any thread is started, since namespaces are a thread's.
pub fn play(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Tester => tester::enter_namespaces()?,
        Role::Owner => {}
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Tester => tester::test().await,
            Role::Owner => owner::serve().await,
        }
    })
}

/// Killed when it is dropped.
fn start(role: Role, output: Stdio) -> anyhow::Result<tokio::process::Child> {
    let role = role.to_possible_value().context("a role has a name")?;
    Command::new(this_binary())
        .args(["self-test", role.get_name()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| anyhow!("{}: cannot be started: {error}", this_binary().display()))
}

/// Whatever has become of the file that it was started from.
fn this_binary() -> &'static Path {
    Path::new("/proc/self/exe")
}

fn failed(error: &anyhow::Error) -> Failed {
    Failed(format!("{error:#}"))
}
