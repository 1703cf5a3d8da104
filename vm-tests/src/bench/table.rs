//! The report for people.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    contender::Contender,
    figure::Figure,
    report::Report,
    site,
    stats::{Ratio, Summary},
};

/// Percent of the machine that others may have.
pub(crate) const QUIET: f64 = 10.0;

pub(crate) fn text(report: &Report) -> String {
    let mut text = head(report);
    let figures = report.contenders.values().flat_map(|results| results.figures.keys());
    let figures: BTreeSet<Figure> = figures.copied().collect();
    let mut workload = None;
    for figure in figures {
        if workload.replace(figure.workload) != Some(figure.workload) {
            line(&mut text, &format!("\n{}", figure.workload));
        }
        line(&mut text, &row([&heading(figure), "median", "min – max", "of plain", "of haproxy"]));
        rows(report, figure).iter().for_each(|row| line(&mut text, row));
    }
    text + &packets(report) + &tail(report)
}

fn heading(figure: Figure) -> String {
    format!("  {}, {}", figure.name(), figure.unit())
}

fn rows(report: &Report, figure: Figure) -> Vec<String> {
    let summary = |contender: &Contender| report.summary(*contender, figure);
    let ratio = |own: &Summary, contender: &Contender, of: Contender| match summary(&of) {
        Some(other) if of != *contender && other.median != 0.0 => ratio(own.ratio_to(&other)),
        _ => String::new(),
    };
    let rows = report.contenders.keys().filter_map(|contender| {
        let own = summary(contender)?;
        let range = format!("{} – {}", number(own.min), number(own.max));
        Some(row([
            &format!("    {contender}"),
            &number(own.median),
            &range,
            &ratio(&own, contender, Contender::Plain),
            &ratio(&own, contender, Contender::Haproxy),
        ]))
    });
    rows.collect()
}

fn head(report: &Report) -> String {
    let mut text = format!("\n{}; {} rounds\n", report.machine.text(), report.rounds);
    if let Some(busy) = Summary::of(&report.busy_before) {
        let [median, max] = [busy.median, busy.max].map(|part| part * 100.0);
        let busy = format!("others had {median:.0} % of it between loads, {max:.0} % at most");
        line(&mut text, &busy);
        if max > QUIET {
            line(&mut text, "that is too much: take these figures for a rehearsal");
        }
    }
    let sure = Summary::confidence(report.rounds) * 100.0;
    line(&mut text, "noise: what was measured of the two overlaps, from smallest to largest;");
    line(&mut text, &format!("the true median is between these with a probability of {sure:.0} %"));
    text
}

fn packets(report: &Report) -> String {
    let mut text = String::new();
    if !report.packets.costs.is_empty() {
        line(
            &mut text,
            &format!(
                "\n{}",
                row(["a packet in the eBPF programs, ns", "median", "min – max", "", ""])
            ),
        );
    }
    for cost in &report.packets.costs {
        let Some(own) = Summary::of(&cost.nanos) else { continue };
        let range = format!("{} – {}", number(own.min), number(own.max));
        let name = format!("    {}", cost.case);
        line(&mut text, &row([&name, &number(own.median), &range, "", ""]));
    }
    for program in &report.packets.instructions {
        let (name, all, seen) = (&program.program, program.translated, program.verified);
        line(
            &mut text,
            &format!("    {name}: {all} instructions, {seen} looked at by the verifier"),
        );
    }
    text
}

/// Failures, who is missing, and how each was set up.
fn tail(report: &Report) -> String {
    let mut text = "\nfailures\n".to_owned();
    let mut none = true;
    for (contender, results) in &report.contenders {
        for (what, count) in &results.failures.0 {
            none = false;
            line(&mut text, &format!("  {contender}: {what}: {count}"));
        }
    }
    for what in report.missing.iter().chain(&report.broken) {
        none = false;
        line(&mut text, &format!("  left out: {what}"));
    }
    if none {
        line(&mut text, "  none");
    }
    for contender in report.contenders.keys() {
        let settings = contender.settings(&site::backends());
        let settings = if settings.is_empty() { "nothing\n".to_owned() } else { settings };
        let indented: Vec<_> = settings.lines().map(|line| format!("    {line}")).collect();
        line(&mut text, &format!("\nsettings of {contender}\n{}", indented.join("\n")));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
}

fn row([name, median, range, of_plain, of_haproxy]: [&str; 5]) -> String {
    format!("{name:<52} {median:>9} {range:>21} {of_plain:>14} {of_haproxy:>14}")
}

fn ratio(Ratio { value, is_noise }: Ratio) -> String {
    let noise = if is_noise { "noise " } else { "" };
    format!("{noise}× {value:.2}")
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{value:.4}"),
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::fixture;

    #[test]
    fn a_row_says_how_much_and_whether_that_is_noise() {
        let text = text(&fixture::report());
        let row = |name: &str| {
            let row = text.lines().find(|line| line.trim_start().starts_with(name));
            row.expect("a row").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("plain"), "plain 10.0 9.90 – 10.1 × 2.00");
        assert_eq!(row("haproxy"), "haproxy 5.00 4.90 – 5.10 × 0.50");
        assert_eq!(row("nginx"), "nginx 5.20 4.50 – 10.0 noise × 0.52 noise × 1.04");
    }

    #[test]
    fn figures_from_a_busy_machine_are_called_so() {
        let mut report = fixture::report();
        assert!(
            text(&report).contains("others had 25 % of it") && text(&report).contains("too much")
        );
        report.busy_before.fill(0.05);
        assert!(!text(&report).contains("too much"));
    }

    #[test]
    fn who_is_missing_is_named() {
        let mut report = fixture::report();
        assert!(text(&report).contains("failures\n  none"));
        report.missing.push("nftables: not installed".into());
        assert!(text(&report).contains("left out: nftables: not installed"));
    }
}
