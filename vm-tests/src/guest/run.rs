//! One scenario in a process of its own, with a deadline.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command as Plain, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::said::Outcome;
use crate::state;

/// Of the guest's own time; the longest takes a third of it.
const DEADLINE: Duration = Duration::from_secs(180);
/// What a scenario says that has nothing to run on.
const NOT_RUN: &str = "not run: ";
const OUTPUT: &str = "/tmp/enigate-scenario";
/// Of the output of a scenario that failed. A line to the host is no place for more.
const MOST_OUTPUT: usize = 200_000;
/// Of its beginning, where it says what failed; the agent's log follows.
const BEGINNING: usize = 20_000;

pub(super) struct Ended {
    pub seconds: f64,
    pub outcome: Outcome,
    /// Of one that did not pass.
    pub output: String,
}

/// Those with one of these texts in their names; all of them without any.
pub(super) fn list(scenarios: &Path, only: &[String]) -> anyhow::Result<Vec<String>> {
    let output = Plain::new(scenarios).args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("starting {}", scenarios.display()))?;
    ensure!(output.status.success(), "{} --list: {}", scenarios.display(), output.status);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|text| name.contains(text));
    Ok(names.filter(wanted).map(str::to_owned).collect())
}

pub(super) async fn one(scenarios: &Path, agent: &Path, name: &str) -> anyhow::Result<Ended> {
    let began = Instant::now();
    let mut child = start(scenarios, agent, name)?;
    let exit = match timeout(DEADLINE, child.wait()).await {
        Ok(exit) => Some(exit.context("waiting for the scenario")?),
        Err(_late) => {
            kill(&child)?;
            None
        }
    };
    let said = fs::read(OUTPUT).context("reading what the scenario said")?;
    let said = String::from_utf8_lossy(&said);
    let outcome = judge(exit, &said);
    let output = if outcome == Outcome::Passed { String::new() } else { both_ends(&said) };
    Ok(Ended { seconds: began.elapsed().as_secs_f64(), outcome, output })
}

fn start(scenarios: &Path, agent: &Path, name: &str) -> anyhow::Result<Child> {
    let output = File::create(OUTPUT).with_context(|| format!("creating {OUTPUT}"))?;
    let mut command = Command::new(scenarios);
    command.args(["--exact", name, "--nocapture"]).env("EG_AGENT", agent);
    // Where cargo put it is a path of the machine that built it.
    command.env("CARGO_BIN_EXE_enigate-lab", std::env::current_exe()?);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    command.spawn().with_context(|| format!("starting {}", scenarios.display()))
}

/// Agents lead groups of their own, and outlive a lab that has no say.
fn kill(child: &Child) -> anyhow::Result<()> {
    if let Some(id) = child.id() {
        killpg(Pid::from_raw(i32::try_from(id)?), Signal::SIGKILL).context("killing it")?;
    }
    state::end_all_agents()
}

fn judge(exit: Option<ExitStatus>, said: &str) -> Outcome {
    match exit {
        None => Outcome::Hung,
        Some(exit) if !exit.success() => Outcome::Failed,
        Some(_) => match said.lines().find_map(|line| line.split_once(NOT_RUN)) {
            Some((_, why)) => Outcome::Skipped(why.to_owned()),
            None => Outcome::Passed,
        },
    }
}

fn both_ends(said: &str) -> String {
    if said.len() <= MOST_OUTPUT {
        return said.to_owned();
    }
    let first = said.floor_char_boundary(BEGINNING);
    let last = said.ceil_char_boundary(said.len() - (MOST_OUTPUT - BEGINNING));
    format!("{}\n[...]\n{}", &said[..first], &said[last..])
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_scenario_that_ran_nothing_is_skipped_with_its_reason() {
        let (good, bad) = (ExitStatus::from_raw(0), ExitStatus::from_raw(101 << 8));
        let said = "running 1 test\nnot run: there is no kubectl on the PATH\n";
        let skipped = Outcome::Skipped("there is no kubectl on the PATH".into());
        assert_eq!(judge(Some(good), said), skipped);
        assert_eq!(judge(Some(good), "running 1 test\n"), Outcome::Passed);
        assert_eq!(judge(Some(bad), said), Outcome::Failed);
        assert_eq!(judge(None, said), Outcome::Hung);
    }

    #[test]
    fn long_output_keeps_both_its_ends() {
        let long = format!("panicked at a.rs{}the end", "ä".repeat(MOST_OUTPUT));
        let kept = both_ends(&long);
        assert!(kept.starts_with("panicked at a.rs") && kept.ends_with("the end"));
        assert!(kept.len() <= MOST_OUTPUT + "\n[...]\n".len(), "{}", kept.len());
        assert_eq!(both_ends("short"), "short");
    }
}
