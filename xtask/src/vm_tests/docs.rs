//! docs/kernels.md, out of a run: what each kernel offers.

use std::fs;

use anyhow::Context as _;

use super::{outcome::Run, said::Outcome};
use crate::cargo;

const HEAD: &str = "\
# Kernels

What each kernel gives the agent, as it said in virtual machines: written by
`cargo xtask vm-tests --docs`. These are Debian's builds of the series that Amazon ships; a kernel
of your own is tried with `--vmlinuz FILE --modules DIR`. The machines are emulated, so that nothing
here says how fast anything is.

";

pub fn write(runs: &[Run]) -> anyhow::Result<()> {
    let file = cargo::root().join("docs/kernels.md");
    fs::write(&file, text(runs)).with_context(|| format!("writing {}", file.display()))?;
    println!("{} is written", file.display());
    Ok(())
}

fn text(runs: &[Run]) -> String {
    let mut rows = vec![
        row("", runs, |run| run.kernel.name.clone()),
        row("---", runs, |_| "---".to_owned()),
        row("like", runs, |run| run.kernel.like.clone()),
        row("release", runs, |run| run.release.clone().unwrap_or_default()),
        row("support", runs, |run| {
            if run.kernel.is_best_effort() { "best effort" } else { "supported" }.to_owned()
        }),
    ];
    for what in offers(runs) {
        rows.push(row(what, runs, |run| answer(run, what)));
    }
    rows.push(row("scenarios passed", runs, passed));
    format!("{HEAD}{}{}", rows.concat(), wrong(runs))
}

/// In the order in which they were said first.
fn offers(runs: &[Run]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for (what, _) in runs.iter().flat_map(|run| &run.offers) {
        if !all.contains(&what.as_str()) {
            all.push(what);
        }
    }
    all
}

fn answer(run: &Run, what: &str) -> String {
    let found = run.offers.iter().find(|(asked, _)| asked == what);
    // A bar would end the cell.
    found.map_or("-", |(_, answer)| answer).replace('|', "\\|")
}

fn passed(run: &Run) -> String {
    let passed = run.count(|outcome| *outcome == Outcome::Passed);
    let skipped = run.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    format!("{passed} of {}, {skipped} skipped", run.scenarios.len())
}

fn row(what: &str, runs: &[Run], cell: impl Fn(&Run) -> String) -> String {
    let cells: Vec<_> = runs.iter().map(cell).collect();
    format!("| {what} | {} |\n", cells.join(" | "))
}

/// What does not work where, as the scenarios name it.
fn wrong(runs: &[Run]) -> String {
    let section = |run: &Run| {
        let failures = run.failures();
        let lines: String = failures.iter().map(|failure| format!("- {failure}\n")).collect();
        let none = failures.is_empty();
        (!none).then(|| format!("\nOn {}:\n\n{lines}", run.kernel.name))
    };
    let sections: String = runs.iter().filter_map(section).collect();
    if sections.is_empty() { sections } else { format!("\n## What does not work\n{sections}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_tests::{outcome::tests::run, said::Said};

    #[test]
    fn a_column_for_each_kernel_and_a_row_for_each_offer() {
        let mut one = run(&[Outcome::Passed]);
        one.hear(Said::Offers { what: "`--hook auto`".into(), answer: "clsact".into() });
        let text = text(&[one, run(&[Outcome::Failed])]);
        assert!(text.contains("| `--hook auto` | clsact | - |"), "{text}");
        assert!(
            text.contains("| scenarios passed | 1 of 1, 0 skipped | 0 of 1, 0 skipped |"),
            "{text}"
        );
        assert!(text.contains("On own:\n\n- part::scenario_0 fails"), "{text}");
    }
}
