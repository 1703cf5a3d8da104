//! Results as JUnit XML, which build servers read: a suite for each kernel.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{
    outcome::{Run, Scenario},
    said::Outcome,
};

pub fn write(file: &Path, runs: &[Run]) -> anyhow::Result<()> {
    fs::write(file, text(runs)).with_context(|| format!("--junit: {}", file.display()))
}

fn text(runs: &[Run]) -> String {
    let suites: String = runs.iter().map(suite).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
}

/// What is wrong with the machine itself is a case too, since it is none of any scenario.
fn suite(run: &Run) -> String {
    let scenarios = run.scenarios.iter().map(|scenario| case(run, scenario));
    let wrong = run.machine_failures();
    let machine = wrong.iter().map(|failure| machine_case(run, failure));
    let cases: String = scenarios.chain(machine).collect();
    format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n{cases}  </testsuite>\n",
        escape(&run.kernel.name),
        run.scenarios.len() + wrong.len(),
        run.count(|outcome| matches!(outcome, Outcome::Failed | Outcome::Hung)),
        wrong.len(),
        run.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    )
}

fn machine_case(run: &Run, failure: &str) -> String {
    format!(
        "    <testcase classname=\"{}\" name=\"machine\"><error message=\"{}\"/></testcase>\n",
        escape(&run.kernel.name),
        escape(failure)
    )
}

fn case(run: &Run, scenario: &Scenario) -> String {
    let output = escape(&scenario.output);
    let inside = match &scenario.outcome {
        Outcome::Passed => String::new(),
        Outcome::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Outcome::Failed => format!("<failure message=\"it fails\">{output}</failure>"),
        Outcome::Hung => format!("<failure message=\"it does not end\">{output}</failure>"),
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{inside}</testcase>\n",
        escape(&run.kernel.name),
        escape(&scenario.name),
        scenario.seconds
    )
}

/// XML 1.0 has no control characters but these three, not even escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_tests::outcome::{Fault, tests::run};

    #[test]
    fn outcomes_and_faults_are_cases() {
        let mut run = run(&[Outcome::Passed, Outcome::Skipped("no \"x\"".into()), Outcome::Failed]);
        run.fault = Some(Fault::Panic("Kernel panic".into()));
        let text = text(&[run]);
        assert!(text.contains("tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""), "{text}");
        assert!(text.contains("<skipped message=\"no &quot;x&quot;\"/>"), "{text}");
        assert!(text.contains("panicked &amp; &lt;died&gt;</failure>"), "{text}");
        assert!(text.contains("<error message=\"panic: Kernel panic\"/>"), "{text}");
    }

    #[test]
    fn a_kernel_on_which_nothing_ran_has_a_case_that_says_so() {
        let text = text(&[run(&[Outcome::Skipped("why".into())])]);
        assert!(text.contains("tests=\"2\" failures=\"0\" errors=\"1\" skipped=\"1\""), "{text}");
        assert!(text.contains("name=\"machine\"><error message=\"nothing ran\"/>"), "{text}");
    }

    #[test]
    fn colours_of_a_terminal_are_no_xml() {
        assert_eq!(escape("\u{1b}[1mx"), "\u{fffd}[1mx");
    }
}
