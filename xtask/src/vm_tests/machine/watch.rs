//! Hears what a machine says until its end, and says why that came if it was not the right one.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Child,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::silence::Silence;
use crate::vm_tests::{
    outcome::{Fault, Run},
    said::{Outcome, Said},
};

/// Processor time that passes before its first word: a boot takes ten seconds of it.
const BOOT: Duration = Duration::from_secs(120);
/// Between two words: there is a sign of life every two of its seconds, ten of ours at most.
const QUIET: Duration = Duration::from_secs(90);
/// How often its silence is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub fn watch(mut child: Child, run: &mut Run) {
    let lines = lines_of(&mut child);
    let fault = hear(&lines, run, Silence::of(child.id()));
    if fault.is_some() {
        child.kill().ok();
    }
    let exit = child.wait();
    let panic = panic_in(&fs::read_to_string(&run.console).unwrap_or_default());
    let early = || (!run.is_done).then(|| Fault::Ended(exit_text(exit)));
    run.fault = panic.or_else(|| run.fault.take()).or(fault).or_else(early);
}

fn exit_text(exit: std::io::Result<std::process::ExitStatus>) -> String {
    exit.map_or_else(|error| error.to_string(), |exit| format!("QEMU ended with {exit}"))
}

/// Until QEMU closes its end, or nothing comes any more.
fn hear(lines: &Receiver<String>, run: &mut Run, mut silence: Silence) -> Option<Fault> {
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                take(&line, run);
                silence.broken();
            }
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(fault) = too_quiet(run, &silence) {
                    return Some(fault);
                }
            }
        }
    }
}

fn too_quiet(run: &Run, silence: &Silence) -> Option<Fault> {
    if run.release.is_none() {
        return silence.over(BOOT).map(|waited| Fault::Silent { waited });
    }
    silence.over(QUIET).map(|quiet| Fault::Hang { during: run.during(), quiet })
}

fn take(line: &str, run: &mut Run) {
    // What is no JSON comes from firmware.
    let Ok(said) = serde_json::from_str::<Said>(line.trim()) else { return };
    let name = &run.kernel.name;
    match &said {
        Said::Up { kernel } => println!("{name}: Linux {kernel} is up"),
        Said::Ended { scenario, seconds, outcome, output } => {
            println!("{name}: {} {seconds:6.1} s  {scenario}", word(outcome));
            failure_in(output).into_iter().for_each(|line| println!("{name}:     {line}"));
        }
        _ => {}
    }
    run.hear(said);
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed ",
        Outcome::Skipped(_) => "skipped",
        Outcome::Failed => "FAILED ",
        Outcome::Hung => "HUNG   ",
    }
}

/// Where it failed, and what it says of that.
fn failure_in(output: &str) -> Vec<&str> {
    let lines = output.lines().skip_while(|line| !line.contains("panicked at"));
    lines.take_while(|line| !line.starts_with("--- ")).take(4).collect()
}

fn panic_in(console: &str) -> Option<Fault> {
    let line = console.lines().find(|line| line.contains("Kernel panic"))?;
    Some(Fault::Panic(line.trim().to_owned()))
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::vm_tests::kernels::Kernel;

    /// A machine of a few lines, whose console is this file.
    fn machine(script: &str, console: &std::path::Path) -> Run {
        let mut run = Run::new(Kernel::own("vmlinuz".as_ref()), console.to_owned());
        let child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn();
        watch(child.expect("a shell"), &mut run);
        run
    }

    #[test]
    fn a_panic_on_the_console_is_more_than_the_end_that_it_brings() {
        let console = std::env::temp_dir().join(format!("enigate-console-{}", std::process::id()));
        fs::write(&console, "[ 1.0] Kernel panic - not syncing: Attempted to kill init!\n")
            .expect("written");
        let run = machine("echo '{\"up\":{\"kernel\":\"6.1\"}}'", &console);
        fs::remove_file(&console).ok();
        assert!(matches!(&run.fault, Some(Fault::Panic(line)) if line.contains("kill init")));
    }

    #[test]
    fn a_machine_that_ends_before_it_is_done_ended_early() {
        let run = machine("exit 3", "/nonexistent".as_ref());
        assert!(matches!(&run.fault, Some(Fault::Ended(how)) if how.contains('3')), "{run:?}");
        let run = machine("echo '\"done\"'", "/nonexistent".as_ref());
        assert_eq!(run.fault, None);
    }

    #[test]
    fn a_silent_machine_and_one_that_hangs_are_two_things() {
        let long = Silence::long();
        let mut run = Run::new(Kernel::own("vmlinuz".as_ref()), "console".into());
        assert!(matches!(too_quiet(&run, &long), Some(Fault::Silent { .. })));
        run.hear(Said::Up { kernel: "6.1".into() });
        run.hear(Said::Started { scenario: "part::one".into() });
        let fault = too_quiet(&run, &long);
        assert!(matches!(&fault, Some(Fault::Hang { during, .. }) if during == "part::one"));
    }

    #[test]
    fn words_are_heard_until_nobody_speaks() {
        let (speaker, lines) = channel();
        speaker.send("\"alive\"\n".to_owned()).expect("heard");
        speaker.send("SeaBIOS\n".to_owned()).expect("heard");
        speaker.send("\"done\"\n".to_owned()).expect("heard");
        drop(speaker);
        let mut run = Run::new(Kernel::own("vmlinuz".as_ref()), "console".into());
        assert_eq!(hear(&lines, &mut run, Silence::long()), None);
        assert!(run.is_done);
    }
}
