//! `docs/benchmarks.md`: the run for those who were not there.

mod prose;
mod tables;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use jiff::Timestamp;

use super::{
    contender::Contender,
    figure::{Figure, What},
    goals::goals,
    load::Direction,
    report::Report,
    site,
    stats::Summary,
    table::{QUIET, number},
    workload::Workload,
};

pub(crate) fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let text = text(report, Timestamp::now());
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn text(report: &Report, now: Timestamp) -> String {
    let parts = [
        head(report, now),
        goals_table(report),
        tables::loads(report),
        tables::events(report),
        tables::packets(report),
        prose::HOW.to_owned(),
        contenders(report),
    ];
    parts.join("\n")
}

fn head(report: &Report, now: Timestamp) -> String {
    let mut text = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench` on {}: {}; {} rounds, all contenders in each, \
         in random order.\n",
        now.strftime("%Y-%m-%d"),
        report.machine.text(),
        report.rounds,
    );
    if let Some(busy) = Summary::of(&report.busy_before) {
        let [median, max] = [busy.median, busy.max].map(|part| part * 100.0);
        let judged = match max > QUIET {
            true => "**That is too much: take all this for a rehearsal.**",
            false => "That is little enough, as far as a kernel sees it.",
        };
        let line = format!(
            "Others had {median:.0} % of the machine between loads, {max:.0} % at most. {judged}\n"
        );
        text += &line;
    }
    for what in report.missing.iter().chain(&report.broken) {
        writeln!(text, "\nLeft out: {what}").expect("a string takes everything");
    }
    text + "\n" + &worth_choosing(report)
}

/// What the choice of a data path depends on comes first.
fn worth_choosing(report: &Report) -> String {
    let behind = [Direction::Down, Direction::Up].map(|direction| {
        let figure =
            Figure { workload: Workload::Bulk { direction, streams: 8 }, what: What::Rate };
        let [sockmap, relay] =
            [Contender::Sockmap, Contender::Relay].map(|one| report.summary(one, figure));
        sockmap.zip(relay).map(|(sockmap, relay)| sockmap.median < relay.median)
    });
    match behind {
        [Some(false), Some(false)] => {
            "`sockmap` carries no less bulk than `relay` here, in both directions.\n".to_owned()
        }
        [Some(_), Some(_)] => {
            "**`sockmap` is not worth choosing here: `relay` carries more bulk.**\n".to_owned()
        }
        _ => "`sockmap` and `relay` were not compared.\n".to_owned(),
    }
}

fn goals_table(report: &Report) -> String {
    let mut text = "## Goals\n\n| figure | goal | measured | |\n|---|---|---|---|\n".to_owned();
    for goal in goals(report) {
        let (value, verdict) = match &goal.result {
            Ok(measured) => (number(measured.value), measured.verdict.to_string()),
            Err(why) => (String::new(), why.clone()),
        };
        writeln!(text, "| {} | {} | {value} | {verdict} |", goal.what, goal.wanted)
            .expect("a string takes everything");
    }
    text
}

fn contenders(report: &Report) -> String {
    let mut text = "## Contenders\n".to_owned();
    for (contender, results) in &report.contenders {
        let settings = contender.settings(&site::backends());
        let version = report.versions.get(contender).map_or("", String::as_str);
        write!(
            text,
            "\n### {contender}\n\n{version}\n\n```\n{}```\n",
            settings.replace('\t', "    ")
        )
        .expect("a string takes everything");
        for (what, count) in &results.failures.0 {
            writeln!(text, "\nFailed {count} times: {what}").expect("a string takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn the_report_has_its_parts() {
        let mut report = fixture::report();
        report.missing.push("nginx: not installed".into());
        let text = text(&report, Timestamp::UNIX_EPOCH);
        for part in [
            "on 1970-01-01",
            "take all this for a rehearsal",
            "Left out: nginx: not installed",
            "`sockmap` and `relay` were not compared",
            "## Goals",
            "| haproxy | 5.00 (4.90 – 5.10) × 0.50 |",
            "| nginx | 5.20 (4.50 – 10.0) ≈ 0.52 |",
            "cannot: rules have addresses",
            "## How",
            "splice-auto",
        ] {
            assert!(text.contains(part), "{part}: not in {text}");
        }
    }
}
