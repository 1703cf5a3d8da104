//! docs/kernels.md, out of a run: what each kernel offers. Kernels that did not take part keep the
//! column that they have.

use std::fs;

use anyhow::Context as _;

use super::{kernels::Kernels, outcome::Run, said::Outcome};
use crate::cargo;

const HEAD: &str = "\
# Kernels

What each kernel gives the agent, as it said in virtual machines: written by
`cargo xtask vm-tests --docs`. These are Debian's builds of the series that Amazon ships; a kernel
of your own is tried with `--vmlinuz FILE --modules DIR`. The machines are emulated, so that nothing
here says how fast anything is.

";
const PASSED: &str = "scenarios passed";

pub fn write(runs: &[Run], kernels: &Kernels) -> anyhow::Result<()> {
    let file = cargo::root().join("docs/kernels.md");
    let before =
        fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = text(&merged(runs, &before, kernels));
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("{} is written", file.display());
    Ok(())
}

/// What the file has of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    kernel: String,
    /// By the name of the row, as they stand in the table.
    cells: Vec<(String, String)>,
    /// What does not work, as the scenarios name it.
    wrong: Vec<String>,
}

impl Column {
    fn of(run: &Run) -> Self {
        let support = if run.kernel.is_best_effort() { "best effort" } else { "supported" };
        let known = [
            ("like", run.kernel.like.clone()),
            ("release", run.release.clone().unwrap_or_default()),
            ("support", support.to_owned()),
        ];
        // A bar would end the cell.
        let offers =
            run.offers.iter().map(|(what, answer)| (what.as_str(), answer.replace('|', "\\|")));
        let cells = known.into_iter().chain(offers).chain([(PASSED, passed(run))]);
        Self {
            kernel: run.kernel.name.clone(),
            cells: cells.map(|(what, cell)| (what.to_owned(), cell)).collect(),
            wrong: run.failures().iter().map(ToString::to_string).collect(),
        }
    }

    fn cell(&self, row: &str) -> &str {
        self.cells.iter().find(|(name, _)| name == row).map_or("-", |(_, cell)| cell)
    }
}

fn passed(run: &Run) -> String {
    let passed = run.count(|outcome| *outcome == Outcome::Passed);
    let skipped = run.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    format!("{passed} of {}, {skipped} skipped", run.scenarios.len())
}

/// Those of this run that came up and, of the other kernels that there are, those that the file had
/// before.
fn merged(runs: &[Run], before: &str, kernels: &Kernels) -> Vec<Column> {
    let came_up = runs.iter().filter(|run| run.release.is_some());
    let mut new: Vec<_> = came_up.map(Column::of).collect();
    let old = parse(before);
    let mut all = Vec::new();
    for kernel in &kernels.kernel {
        let is_it = |column: &Column| column.kernel == kernel.name;
        match new.iter().position(is_it) {
            Some(place) => all.push(new.remove(place)),
            None => all.extend(old.iter().find(|column| is_it(column)).cloned()),
        }
    }
    // What is not in kernels.toml was given by hand.
    all.append(&mut new);
    all
}

/// What [`text`] has written.
fn parse(text: &str) -> Vec<Column> {
    let mut rows = text.lines().filter_map(cells);
    let names = rows.next().map(|(_, names)| names).unwrap_or_default();
    let rows: Vec<_> = rows.skip(1).collect();
    let column = |(place, name): (usize, &str)| Column {
        kernel: name.to_owned(),
        cells: rows
            .iter()
            .filter_map(|(row, cells)| Some(((*row).to_owned(), (*cells.get(place)?).to_owned())))
            .collect(),
        wrong: wrong_of(text, name),
    };
    names.into_iter().enumerate().map(column).collect()
}

/// A row's name, and what comes after it.
fn cells(line: &str) -> Option<(&str, Vec<&str>)> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let (name, cells) = row.split_once(" | ")?;
    Some((name, cells.split(" | ").collect()))
}

fn wrong_of(text: &str, kernel: &str) -> Vec<String> {
    let head = heading(kernel);
    let lines = text.lines().skip_while(|line| *line != head).skip(2);
    lines.map_while(|line| line.strip_prefix("- ")).map(str::to_owned).collect()
}

fn heading(kernel: &str) -> String {
    format!("On {kernel}:")
}

fn text(columns: &[Column]) -> String {
    let mut rows = vec![row("", columns, |column| &column.kernel), row("---", columns, |_| "---")];
    rows.extend(names(columns).map(|name| row(name, columns, |column| column.cell(name))));
    format!("{HEAD}{}{}", rows.concat(), wrong(columns))
}

/// In the order in which they were said first; what came of the scenarios is the last of them.
fn names(columns: &[Column]) -> impl Iterator<Item = &str> {
    let mut all: Vec<&str> = Vec::new();
    for (name, _) in columns.iter().flat_map(|column| &column.cells) {
        if !all.contains(&name.as_str()) && name != PASSED {
            all.push(name);
        }
    }
    all.into_iter().chain([PASSED])
}

fn row<'a>(what: &str, columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a str) -> String {
    let cells: Vec<_> = columns.iter().map(cell).collect();
    format!("| {what} | {} |\n", cells.join(" | "))
}

fn wrong(columns: &[Column]) -> String {
    let section = |column: &Column| {
        let lines: String = column.wrong.iter().map(|what| format!("- {what}\n")).collect();
        let has_some = !column.wrong.is_empty();
        has_some.then(|| format!("\n{}\n\n{lines}", heading(&column.kernel)))
    };
    let sections: String = columns.iter().filter_map(section).collect();
    if sections.is_empty() { sections } else { format!("\n## What does not work\n{sections}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm_tests::{outcome::tests::run, said::Said};

    fn runs() -> [Run; 2] {
        let mut one = run(&[Outcome::Passed]);
        one.hear(Said::Offers { what: "`--hook auto`".into(), answer: "a|b | c".into() });
        one.kernel.name = "6.12".into();
        one.release = Some("6.12.99".into());
        let mut other = run(&[Outcome::Failed]);
        other.kernel.name = "6.1".into();
        other.release = Some("6.1.99".into());
        [one, other]
    }

    #[test]
    fn a_column_for_each_kernel_and_a_row_for_each_offer() {
        let text = text(&runs().each_ref().map(Column::of));
        assert!(text.contains("| `--hook auto` | a\\|b \\| c | - |"), "{text}");
        let passed = "| scenarios passed | 1 of 1, 0 skipped | 0 of 1, 0 skipped |";
        assert!(text.contains(passed), "{text}");
        assert!(text.contains("On 6.1:\n\n- part::scenario_0 fails"), "{text}");
    }

    #[test]
    fn kernels_that_did_not_take_part_keep_their_column() {
        let kernels = Kernels::read().unwrap();
        let [one, other] = runs();
        let before = text(&merged(&[one.clone(), other.clone()], "", &kernels));
        let [mut again, mut silent] = runs();
        again.release = Some("7.7.7".into());
        silent.release = None;
        let after = text(&merged(&[again, silent], &before, &kernels));
        assert_eq!(after.replace("7.7.7", one.release.as_deref().expect("one")), before);
        assert_eq!(text(&merged(&[one, other], "nothing of ours", &kernels)), before);
    }

    #[test]
    fn the_file_that_is_there_reads_back_as_it_is() {
        let file = fs::read_to_string(cargo::root().join("docs/kernels.md")).unwrap();
        assert_eq!(text(&merged(&[], &file, &Kernels::read().unwrap())), file);
    }
}
