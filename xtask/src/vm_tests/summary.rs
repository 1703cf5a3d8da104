//! The end of a run: scenarios by kernels, and what is wrong.

use std::collections::BTreeSet;

use super::{
    outcome::{Run, Scenario},
    said::Outcome,
};
use crate::table;

pub fn print(runs: &[Run]) {
    let mut head = vec!["scenario".to_owned()];
    head.extend(runs.iter().map(|run| run.kernel.name.clone()));
    println!();
    table::print_all(&head, &rows(runs));
    println!();
    runs.iter().for_each(print_one);
}

fn rows(runs: &[Run]) -> Vec<Vec<String>> {
    let scenarios = || runs.iter().flat_map(|run| &run.scenarios);
    let names: BTreeSet<_> = scenarios().map(|scenario| scenario.name.as_str()).collect();
    let row = |name: &str| {
        let cell = |run: &Run| {
            run.scenarios.iter().find(|it| it.name == name).map_or_else(|| "-".to_owned(), cell)
        };
        std::iter::once(name.to_owned()).chain(runs.iter().map(cell)).collect()
    };
    names.into_iter().map(row).collect()
}

fn cell(scenario: &Scenario) -> String {
    match scenario.outcome {
        Outcome::Passed => format!("{:.1} s", scenario.seconds),
        Outcome::Skipped(_) => "skipped".to_owned(),
        Outcome::Failed => "FAILED".to_owned(),
        Outcome::Hung => "HUNG".to_owned(),
    }
}

fn print_one(run: &Run) {
    let passed = run.count(|outcome| *outcome == Outcome::Passed);
    let skipped = run.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let best_effort = if run.kernel.is_best_effort() { ", best effort" } else { "" };
    let release = run.release.as_deref().unwrap_or("no kernel");
    println!(
        "{} ({release}{best_effort}): {passed} passed, {skipped} skipped, {} wrong, in {} s; \
         console: {}",
        run.kernel.name,
        run.failures().len(),
        run.took.as_secs(),
        run.console.display()
    );
    for scenario in &run.scenarios {
        if let Outcome::Skipped(why) = &scenario.outcome {
            println!("    {} was skipped: {why}", scenario.name);
        }
    }
    run.failures().iter().for_each(|failure| println!("    {failure}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_tests::outcome::tests::run;

    #[test]
    fn a_scenario_that_a_kernel_has_not_run_is_a_dash() {
        let runs =
            [run(&[Outcome::Passed, Outcome::Failed]), run(&[Outcome::Skipped("why".into())])];
        assert_eq!(
            rows(&runs),
            [["part::scenario_0", "1.5 s", "skipped"], ["part::scenario_1", "FAILED", "-"]]
        );
    }
}
