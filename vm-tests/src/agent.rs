//! The real agent, as a child process in the proxy's namespace.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_user::status::Status;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{admin::Admin, bench::Usage, launch::Launch, place::Inside, state};

pub use std::process::ExitStatus as Exit;

/// A kernel on a busy machine takes its time to check the programs.
const READY: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
const LOG_TAIL: usize = 40;
/// How what the kernel's verifier says of a program begins in the agent's log.
pub(crate) const VERIFIER: &str = "Verifier output";
const VERIFIER_TAIL: usize = 2_000;

/// Killed when it is dropped.
pub struct Agent {
    launch: Launch,
    inside: Inside,
    admin: Admin,
    child: Option<Child>,
}

/// An agent whose place another has taken. Killed when it is dropped.
pub struct Retired(Child);

impl Retired {
    /// Waits for its end, which comes with that of its last connection or at its deadline.
    pub async fn end(mut self) -> anyhow::Result<Exit> {
        self.0.wait().await.context("waiting for the retired agent")
    }
}

impl Agent {
    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(
        launch: Launch,
        inside: Inside,
        admin: Admin,
    ) -> anyhow::Result<Self> {
        let mut agent = Self { launch, inside, admin, child: None };
        agent.restart().await?;
        Ok(agent)
    }

    pub async fn status(&self) -> anyhow::Result<Status> {
        self.admin.status().await
    }

    /// A handle that outlives borrows of the lab.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// What it has taken of the machine.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        // It leads a process group of its own.
        Usage::of_group(self.id().context("the agent does not run")?)
    }

    /// SIGTERM; waits for its end.
    pub async fn terminate(&mut self) -> anyhow::Result<Exit> {
        self.end(Signal::SIGTERM).await
    }

    /// SIGKILL: it has no say in it.
    pub async fn kill(&mut self) -> anyhow::Result<Exit> {
        self.end(Signal::SIGKILL).await
    }

    /// Runs `enigate detach`, and returns what that says.
    pub async fn detach(&self) -> anyhow::Result<String> {
        let (binary, pins) = (self.launch.binary.clone(), state::pins(&self.launch.lab));
        let detach = async move {
            let mut command = Command::new(&binary);
            command.arg("detach").arg("--pin-dir").arg(pins);
            command.output().await.with_context(|| format!("running {}", binary.display()))
        };
        let done = self.inside.run(detach).await?;
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(done.status.success(), "enigate detach: {}: {said}", done.status);
        Ok(said)
    }

    /// Starts it again, ending it by SIGTERM first if it still runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.begin_again().await?;
        let ready = self.until_ready().await;
        ready.map_err(|error| anyhow!("{error:#}; its last lines:\n{}", self.log_tail()))
    }

    /// The same with these flags, where it cannot be ready: whoever calls looks for themselves.
    pub async fn begin_again_with(&mut self, flags: Vec<String>) -> anyhow::Result<()> {
        self.launch.flags = flags;
        self.begin_again().await
    }

    async fn begin_again(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            self.terminate().await?;
        }
        self.child = Some(self.spawn().await?);
        Ok(())
    }

    /// Starts it again with these flags in place of the caller's earlier ones.
    pub async fn restart_with(&mut self, flags: Vec<String>) -> anyhow::Result<()> {
        self.launch.flags = flags;
        self.restart().await
    }

    /// Starts another beside it, with these flags; returns once that has taken its place.
    pub async fn succeed(&mut self, flags: Vec<String>) -> anyhow::Result<Retired> {
        let earlier = self.status().await?.started_at;
        let heir = Launch { flags, ..self.launch.clone() };
        let retired = self.child.take().context("the agent does not run")?;
        self.launch = heir;
        self.child = Some(self.spawn().await?);
        let taken = timeout(READY, self.until_another_than(earlier)).await;
        let taken = taken.unwrap_or_else(|_| Err(anyhow!("not within {READY:?}")));
        taken.map_err(|error| anyhow!("no succession: {error:#}:\n{}", self.log_tail()))?;
        Ok(Retired(retired))
    }

    async fn until_another_than(&mut self, earlier: Timestamp) -> anyhow::Result<()> {
        loop {
            self.until_ready().await?;
            // Either may answer, and the one that has gone in between does not.
            if self.status().await.is_ok_and(|status| status.started_at != earlier) {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// Everything it has written, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.launch.log).unwrap_or_else(|error| error.to_string())
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }

    /// A child inherits the namespace of the thread that starts it.
    async fn spawn(&self) -> anyhow::Result<Child> {
        let launch = self.launch.clone();
        let start = async move {
            let log = launch.open_log()?;
            launch
                .command()
                .args(&launch.arguments)
                .args(&launch.flags)
                .env(state::MARK, &launch.lab)
                // Flags beat the environment: a scenario may say otherwise.
                .env("ENIGATE_ABSENT_GRACE", "1s")
                .env("ENIGATE_DRAIN_DEADLINE", "5s")
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                // Ctrl-C on a terminal is for the lab: it takes the agent down in its own time.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("starting {}", launch.binary.display()))
        };
        self.inside.run(start).await
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            let answer = self.admin.get("/readyz").await;
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if let Some(exit) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                return Err(anyhow!("the agent ended before it was ready: {exit}"));
            }
            if Instant::now() > deadline {
                let why = answer.map_or_else(|error| format!("{error:#}"), |(_, reason)| reason);
                return Err(anyhow!("the agent was not ready within {READY:?}: {why}"));
            }
            sleep(POLL).await;
        }
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<Exit> {
        let mut child = self.child.take().context("the agent does not run")?;
        if let Some(id) = child.id() {
            kill(Pid::from_raw(i32::try_from(id)?), signal).context("signalling the agent")?;
        }
        let exit = timeout(END, child.wait()).await;
        exit.with_context(|| {
            format!("the agent did not end within {END:?} of {signal}:\n{}", self.log_tail())
        })?
        .context("waiting for the agent")
    }
}

/// The last lines; with what the verifier says, its first line and more of the last.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let verifier = lines.iter().rposition(|line| line.contains(VERIFIER));
    let most = if verifier.is_some() { VERIFIER_TAIL } else { LOG_TAIL };
    let start = lines.len().saturating_sub(most);
    let first = verifier.filter(|at| *at < start).map(|at| lines[at]);
    first.into_iter().chain(lines[start..].iter().copied()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_the_first_line_of_what_the_verifier_says_and_its_last() {
        let numbered = |first: &str| {
            let lines = (0..5_000).map(|line| format!("line {line}"));
            [first.to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(tail(&numbered("a start")).lines().count(), LOG_TAIL);
        let said = tail(&numbered("no tc: Verifier output: 0: R1=ctx()"));
        assert!(said.starts_with("no tc: ") && said.ends_with("line 4999"), "{said}");
        assert_eq!(said.lines().count(), VERIFIER_TAIL + 1);
    }
}
