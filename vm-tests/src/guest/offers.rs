//! What this kernel gives the agent: hooks, the choice of `auto`, what self-tests say, and how much of
//! the programs its verifier looks at.

use std::path::Path;

use aya::programs::loaded_programs;

use super::{report::Report, said::Said};
use crate::{
    agent::VERIFIER,
    lab::{Lab, Options},
};

const HOOKS: [&str; 4] = ["tcx", "clsact", "xdp", "xdp-generic"];
/// Data paths that are tried out at each start, and refused where they fail.
const SELF_TESTED: [&str; 2] = ["handover", "sockmap"];
const LAB: &str = "offers";

pub(super) async fn look(agent: &Path, report: &Report) {
    let say = |what: &str, answer: String| {
        report.say(&Said::Offers { what: what.to_owned(), answer });
    };
    say("`--hook auto`", chosen(agent, "auto", report).await);
    for hook in HOOKS {
        say(&format!("`--hook {hook}`"), chosen(agent, hook, report).await);
    }
    for datapath in SELF_TESTED {
        say(&format!("self-test of `{datapath}`"), self_test(agent, datapath, report).await);
    }
}

/// What the agent takes when it is asked for this hook; after `auto`, what the verifier counted.
async fn chosen(agent: &Path, hook: &str, report: &Report) -> String {
    let mut lab = match start(agent, &["--hook", hook]).await {
        Ok(lab) => lab,
        Err(why) => return refused(&why, report),
    };
    let status = lab.admin().status().await;
    if hook == "auto" {
        verified(report);
    }
    keep_verifier(&lab.agent().log_tail(), report);
    lab.stop().await.ok();
    match status {
        Err(error) => format!("{error:#}"),
        Ok(status) => match status.datapath.hook {
            Some(taken) if taken == hook || hook == "auto" => taken,
            Some(taken) => format!("no: {taken} in its place"),
            None => reason(&status.datapath.reason),
        },
    }
}

/// Instructions, of each of our programs that is loaded now.
fn verified(report: &Report) {
    for program in loaded_programs().filter_map(Result::ok) {
        let Some(name) = program.name_as_str().filter(|name| name.starts_with("enigate_")) else {
            continue;
        };
        let answer = match program.verified_instruction_count() {
            Some(count) => count.to_string(),
            None => "not counted by this kernel".to_owned(),
        };
        report.say(&Said::Offers { what: format!("instructions verified of `{name}`"), answer });
    }
}

async fn self_test(agent: &Path, datapath: &str, report: &Report) -> String {
    match start(agent, &["--datapath", datapath]).await {
        Err(why) => refused(&why, report),
        Ok(lab) => {
            lab.stop().await.ok();
            "passes".to_owned()
        }
    }
}

/// An error has the end of the agent's log.
async fn start(agent: &Path, flags: &[&str]) -> Result<Lab, String> {
    let mut options = Options::new(agent.to_owned());
    // For XDP alone: the lab's router then runs the XDP program too, which 5.10 does not load.
    options.plain_frames = flags.iter().any(|flag| flag.starts_with("xdp"));
    options.agent_flags = flags.iter().map(ToString::to_string).collect();
    Lab::start(LAB, options, |_| {}).await.map_err(|error| format!("{error:#}"))
}

fn refused(why: &str, report: &Report) -> String {
    keep_verifier(why, report);
    reason(why)
}

/// It is too long for an answer, and has a place of its own.
fn keep_verifier(log: &str, report: &Report) {
    if log.contains(VERIFIER) {
        report.say(&Said::Verifier { log: log.to_owned() });
    }
}

/// The line that says why, without the verifier's.
fn reason(why: &str) -> String {
    let says = |line: &&str| line.contains("self-test") || line.starts_with("enigate:");
    let line = why.lines().find(says).or_else(|| why.lines().next()).unwrap_or_default();
    format!("no: {}", line.split(VERIFIER).next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_and_none_of_the_verifiers() {
        let why = "starting the agent: it ended; its last lines:\nINFO one\n\
                   enigate: cannot load: Verifier output: 0: R1=ctx()\n1: (85) call";
        assert_eq!(reason(why), "no: enigate: cannot load:");
        assert_eq!(reason("hook: tcx: it takes Linux 6.6"), "no: hook: tcx: it takes Linux 6.6");
    }
}
