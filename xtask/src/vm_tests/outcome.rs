//! What came of one kernel. A panic, a hang, a silent machine and a scenario that fails are told
//! apart.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    kernels::Kernel,
    said::{Outcome, Said},
};

/// How it begins in the agent's log, which failed scenarios show.
const VERIFIER: &str = "Verifier output";

#[derive(Clone, Debug)]
pub struct Run {
    pub kernel: Kernel,
    /// As the kernel calls itself.
    pub release: Option<String>,
    pub offers: Vec<(String, String)>,
    verifier: Vec<String>,
    pub scenarios: Vec<Scenario>,
    pub planned: Option<usize>,
    pub is_done: bool,
    pub fault: Option<Fault>,
    pub took: Duration,
    /// What the machine wrote to its console.
    pub console: PathBuf,
    /// The scenario that runs now.
    pub current: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub seconds: f64,
    pub outcome: Outcome,
    pub output: String,
}

/// Why a machine did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Panic(String),
    /// It has lived, and then said nothing more.
    Hang {
        during: String,
        quiet: Duration,
    },
    /// It has never said anything.
    Silent {
        waited: Duration,
    },
    /// What it said itself.
    Broken(String),
    /// QEMU ended before the machine was done.
    Ended(String),
}

impl Run {
    pub fn new(kernel: Kernel, console: PathBuf) -> Self {
        Self {
            kernel,
            release: None,
            offers: Vec::new(),
            verifier: Vec::new(),
            scenarios: Vec::new(),
            planned: None,
            is_done: false,
            fault: None,
            took: Duration::ZERO,
            console,
            current: None,
        }
    }

    pub fn hear(&mut self, said: Said) {
        match said {
            Said::Up { kernel } => self.release = Some(kernel),
            Said::Offers { what, answer } => self.offers.push((what, answer)),
            Said::Verifier { log } => self.verifier.push(log),
            Said::Planned { scenarios } => self.planned = Some(scenarios),
            Said::Started { scenario } => self.current = Some(scenario),
            Said::Ended { scenario: name, seconds, outcome, output } => {
                self.current = None;
                self.scenarios.push(Scenario { name, seconds, outcome, output });
            }
            Said::Alive => {}
            Said::Done => self.is_done = true,
            Said::Broken { why } => self.fault = Some(Fault::Broken(why)),
        }
    }

    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.scenarios.iter().filter(|scenario| is(&scenario.outcome)).count()
    }

    /// What the kernel's verifier said of programs that do not load.
    pub fn verifier(&self) -> Vec<&str> {
        let said = self.scenarios.iter().map(|scenario| scenario.output.as_str());
        let by_scenarios = said.filter(|output| output.contains(VERIFIER));
        self.verifier.iter().map(String::as_str).chain(by_scenarios).collect()
    }

    /// What it was doing last.
    pub fn during(&self) -> String {
        match (&self.current, &self.release) {
            (Some(scenario), _) => scenario.clone(),
            (None, Some(_)) => "between scenarios".to_owned(),
            (None, None) => "its start".to_owned(),
        }
    }

    /// A line for each thing that is wrong; none if all is well.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.machine_failures();
        for scenario in &self.scenarios {
            match scenario.outcome {
                Outcome::Failed => failures.push(format!("{} fails", scenario.name)),
                Outcome::Hung => failures.push(format!("{} does not end", scenario.name)),
                Outcome::Passed | Outcome::Skipped(_) => {}
            }
        }
        failures
    }

    /// Those that are none of any scenario.
    pub fn machine_failures(&self) -> Vec<String> {
        let mut failures: Vec<_> = self.fault.iter().map(ToString::to_string).collect();
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        if self.fault.is_none() && skipped == self.scenarios.len() {
            failures.push("nothing ran".to_owned());
        }
        let planned = self.planned.unwrap_or_default();
        if self.is_done && planned != self.scenarios.len() {
            failures.push(format!("{} of {planned} scenarios ran", self.scenarios.len()));
        }
        failures
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(line) => write!(f, "panic: {line}"),
            Self::Hang { during, quiet } => {
                write!(f, "hang: nothing was heard for {} s, in {during}", quiet.as_secs())
            }
            Self::Silent { waited } => {
                write!(f, "silent: nothing was ever heard, in {} s", waited.as_secs())
            }
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Ended(how) => write!(f, "ended early: {how}"),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::vm_tests::kernels::Kernel;

    pub fn run(outcomes: &[Outcome]) -> Run {
        let mut run = Run::new(Kernel::own("vmlinuz".as_ref()), "console.log".into());
        run.hear(Said::Planned { scenarios: outcomes.len() });
        for (number, outcome) in outcomes.iter().enumerate() {
            run.hear(Said::Ended {
                scenario: format!("part::scenario_{number}"),
                seconds: 1.5,
                outcome: outcome.clone(),
                output: "thread 'x' panicked & <died>".into(),
            });
        }
        run.hear(Said::Done);
        run
    }

    #[test]
    fn a_kernel_on_which_nothing_ran_is_a_failure() {
        assert_eq!(run(&[Outcome::Skipped("no kubectl".into())]).failures(), ["nothing ran"]);
        assert_eq!(run(&[]).failures(), ["nothing ran"]);
        assert!(
            run(&[Outcome::Passed, Outcome::Skipped("no kubectl".into())]).failures().is_empty()
        );
    }

    #[test]
    fn each_failure_has_a_line_of_its_own_kind() {
        let mut run = run(&[Outcome::Passed, Outcome::Failed, Outcome::Hung]);
        run.fault = Some(Fault::Hang { during: run.during(), quiet: Duration::from_secs(9) });
        assert_eq!(
            run.failures(),
            [
                "hang: nothing was heard for 9 s, in its start",
                "part::scenario_1 fails",
                "part::scenario_2 does not end"
            ]
        );
    }

    #[test]
    fn what_the_verifier_says_is_kept_whoever_has_heard_it() {
        let mut run = run(&[Outcome::Failed]);
        assert_eq!(run.verifier(), Vec::<&str>::new());
        run.hear(Said::Verifier { log: "Verifier output: one".into() });
        let output = "no packet path: Verifier output: two".to_owned();
        run.scenarios[0].output = output.clone();
        assert_eq!(run.verifier(), ["Verifier output: one", &output]);
    }

    #[test]
    fn scenarios_that_are_missing_at_the_end_are_missed() {
        let mut run = run(&[Outcome::Passed]);
        run.planned = Some(2);
        assert_eq!(run.failures(), ["1 of 2 scenarios ran"]);
    }
}
