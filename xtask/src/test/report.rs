//! What came of each part, and of the whole.

use std::time::Duration;

use super::part::Part;
use crate::table;

pub enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    NeedsRoot,
    /// An optional tool is not there.
    Unavailable(String),
}

#[derive(Default)]
pub struct Report(Vec<(Part, Outcome)>);

impl Report {
    pub fn add(&mut self, part: Part, outcome: Outcome) {
        if let Outcome::Failed(_, why) = &outcome {
            println!("{part}: {why}");
        }
        self.0.push((part, outcome));
    }

    /// What was left out for lack of root counts, unless that was asked for.
    pub fn succeeded(&self, unprivileged: bool) -> bool {
        let missed = self.count(|outcome| matches!(outcome, Outcome::NeedsRoot));
        self.failed() == 0 && (unprivileged || missed == 0)
    }

    pub fn print(&self) {
        let rows: Vec<_> = self.0.iter().map(row).collect();
        println!();
        table::print(["part", "outcome", "time", "why"], &rows);
        println!("\n{}", self.total());
    }

    fn total(&self) -> String {
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let total = format!("{passed} passed, {} failed", self.failed());
        match self.0.len() - passed - self.failed() {
            0 => total,
            left_out => format!("{total}, {left_out} skipped"),
        }
    }

    fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(..)))
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.0.iter().filter(|(_, outcome)| is(outcome)).count()
    }
}

fn row((part, outcome): &(Part, Outcome)) -> [String; 4] {
    let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
    let (word, time, why) = match outcome {
        Outcome::Passed(time) => ("passed", seconds(time), ""),
        Outcome::Failed(time, why) => ("FAILED", seconds(time), first_line(why)),
        Outcome::NeedsRoot => ("not run", String::new(), "needs root"),
        Outcome::Unavailable(why) => ("not run", String::new(), why.as_str()),
    };
    [part.to_string(), word.to_owned(), time, why.to_owned()]
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: impl IntoIterator<Item = Outcome>) -> Report {
        Report(outcomes.into_iter().map(|outcome| (Part::Units, outcome)).collect())
    }

    #[test]
    fn a_failure_is_counted_and_fails_the_whole() {
        let report =
            report([Outcome::Passed(Duration::ZERO), Outcome::Failed(Duration::ZERO, "x".into())]);
        assert_eq!(report.total(), "1 passed, 1 failed");
        assert!(!report.succeeded(true));
    }

    #[test]
    fn what_needs_root_is_missed_unless_it_was_left_out_on_purpose() {
        let report = report([Outcome::Passed(Duration::ZERO), Outcome::NeedsRoot]);
        assert_eq!(report.total(), "1 passed, 0 failed, 1 skipped");
        assert!(!report.succeeded(false));
        assert!(report.succeeded(true));
    }

    #[test]
    fn an_optional_tool_is_not_missed() {
        assert!(report([Outcome::Unavailable("not installed".into())]).succeeded(false));
    }
}
