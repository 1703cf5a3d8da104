//! A long command, shown as one line that moves: the time it has taken and what it said last.
//! All it said is shown only if it fails.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _, stderr},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::cargo;

const TICK: Duration = Duration::from_secs(1);
const WIDTH: usize = 76;
const SHOWN_ON_FAILURE: usize = 15;

/// `what` is for people: "installing bpf-linker …".
pub fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    eprintln!("==> {what}\n    {}", cargo::line(command));
    let started = Instant::now();
    let mut child = spawn(command)?;
    let said = follow(&mut child, started);
    let status = child.wait().context("waiting for it to end")?;
    if status.success() {
        eprintln!("    done in {} s", started.elapsed().as_secs());
        return Ok(());
    }
    let tail = said[said.len().saturating_sub(SHOWN_ON_FAILURE)..].join("\n    ");
    bail!("{}: {status}\n    {tail}", cargo::line(command))
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", cargo::line(command)))
}

/// Every line of both streams, shown as they come.
fn follow(child: &mut Child, started: Instant) -> Vec<String> {
    let lines = lines_of(child);
    let mut said: Vec<String> = Vec::new();
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => said.push(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        show(started, said.last().map_or("", String::as_str));
    }
    if stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
    said
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || pass_on(stream, &sender));
    }
    receiver
}

fn pass_on(stream: impl Read, sender: &Sender<String>) {
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if sender.send(line).is_err() {
            return;
        }
    }
}

fn show(started: Instant, line: &str) {
    if stderr().is_terminal() {
        let text = format!("    {:>4} s  {}", started.elapsed().as_secs(), line.trim());
        let text: String = text.chars().take(WIDTH).collect();
        eprint!("\r\x1b[2K\x1b[2m{text}\x1b[0m");
        stderr().flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_failed_command_said_is_in_the_error() {
        let error = run("failing", &mut shell("echo out; echo err >&2; exit 3")).expect_err("3");
        let error = error.to_string();
        assert!(error.contains("out") && error.contains("err"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_command_that_succeeds_is_no_error() {
        run("succeeding", &mut shell("echo fine")).expect("exit status 0");
    }
}
