//! The parsers of what strangers send, under fuzzers: one for each target, side by side.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::cargo::{self, Ebpf};

const TARGETS: [&str; 2] = ["header", "hello"];
/// Of each target. What was found before is kept, and where the next run begins.
const TIME: Duration = Duration::from_secs(60);
const SHOWN_ON_FAILURE: usize = 30;

pub fn build() -> Command {
    fuzz("build")
}

/// What [`build`] has built.
pub fn run() -> anyhow::Result<()> {
    let runs = TARGETS.into_iter().map(Run::start).collect::<anyhow::Result<Vec<_>>>()?;
    println!("==> {} for {} s each", TARGETS.join(" and "), TIME.as_secs());
    // All are waited for, before the first that failed is named.
    let ends: Vec<_> = runs.into_iter().map(Run::end).collect();
    ends.into_iter().collect()
}

fn folder() -> PathBuf {
    cargo::root().join("proxy-user/fuzz")
}

/// With the compiler that builds the agent. A sanitizer would need the standard library built with
/// it too, and finds little in code without `unsafe`.
fn fuzz(subcommand: &str) -> Command {
    let mut command = cargo::cargo(Ebpf::IfFound);
    command.args(["fuzz", subcommand, "--sanitizer", "none", "--fuzz-dir"]).arg(folder());
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

struct Run {
    target: &'static str,
    fuzzer: Child,
    log: PathBuf,
    started: Instant,
}

impl Run {
    fn start(target: &'static str) -> anyhow::Result<Self> {
        let [corpus, seeds] = ["corpus", "seeds"].map(|name| folder().join(name).join(target));
        fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
        let log = folder().join("corpus").join(format!("{target}.log"));
        let file = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = fuzz("run");
        command.arg(target).args([corpus, seeds]);
        command.args(["--", &format!("-max_total_time={}", TIME.as_secs())]);
        let output = file.try_clone().context("sharing the fuzzer's log")?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let fuzzer = command.spawn().context("starting cargo fuzz")?;
        Ok(Self { target, fuzzer, log, started: Instant::now() })
    }

    /// An error has the path of the bytes that failed, which the fuzzer says last.
    fn end(mut self) -> anyhow::Result<()> {
        let status = self.fuzzer.wait().context("waiting for the fuzzer")?;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        let last = |count: usize| lines[lines.len().saturating_sub(count)..].join("\n    ");
        if status.success() {
            let seconds = self.started.elapsed().as_secs();
            println!("    {}: {} in {seconds} s", self.target, last(1));
            return Ok(());
        }
        let input = failing_input(&lines).unwrap_or("nothing that can be named");
        let [target, log] = [self.target, &self.log.display().to_string()];
        bail!("{target} fails on {input}\n    {}\n    all of it: {log}", last(SHOWN_ON_FAILURE))
    }
}

/// As libFuzzer writes it.
fn failing_input<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_failed_are_named() {
        let lines = [
            "==42== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='fuzz/artifacts/header/'; Test unit written to fuzz/artifacts/header/crash-1f",
            "Base64: AA==",
        ];
        assert_eq!(failing_input(&lines), Some("fuzz/artifacts/header/crash-1f"));
        assert_eq!(failing_input(&lines[..1]), None);
    }
}
