//! A table for each load, contenders down and figures across.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    super::{
        contender::Contender,
        figure::Figure,
        report::Report,
        stats::{Ratio, Summary},
        table::number,
        workload::Workload,
    },
    What,
};

const EVENTS: [Workload; 2] = [Workload::Rotation, Workload::DeadEni];

pub(super) fn loads(report: &Report) -> String {
    let figures = report.contenders.values().flat_map(|results| results.figures.keys());
    let figures: BTreeSet<Figure> = figures.copied().collect();
    let workloads: BTreeSet<Workload> = figures.iter().map(|figure| figure.workload).collect();
    let mut text = "## Loads\n\nMedian, and smallest to largest of all rounds. Behind × how many \
                    times plain's it is, behind ≈ the same where the two overlap: noise.\n"
        .to_owned();
    for workload in workloads.iter().filter(|workload| !EVENTS.contains(workload)) {
        let of_load = figures.iter().filter(|figure| figure.workload == *workload);
        text += &load(report, *workload, &of_load.copied().collect::<Vec<_>>());
    }
    text
}

fn load(report: &Report, workload: Workload, figures: &[Figure]) -> String {
    let mut text = format!("\n### {}\n\n|", capital(&workload.to_string()));
    for figure in figures {
        write!(text, " | {}, {}", figure.name(), figure.unit()).expect("a string");
    }
    text += &format!(" |\n|---{}|\n", "|---".repeat(figures.len()));
    for contender in report.contenders.keys() {
        write!(text, "| {contender}").expect("a string");
        for figure in figures {
            write!(text, " | {}", cell(report, *contender, *figure)).expect("a string");
        }
        text += " |\n";
    }
    text
}

fn cell(report: &Report, contender: Contender, figure: Figure) -> String {
    let Some(own) = report.summary(contender, figure) else { return String::new() };
    let plain = report.summary(Contender::Plain, figure);
    let ratio = match plain.filter(|plain| plain.median != 0.0 && contender != Contender::Plain) {
        Some(plain) => ratio(own.ratio_to(&plain)),
        None => String::new(),
    };
    spread(&own) + &ratio
}

fn ratio(Ratio { value, is_noise }: Ratio) -> String {
    format!(" {} {value:.2}", if is_noise { '≈' } else { '×' })
}

fn spread(own: &Summary) -> String {
    format!("{} ({} – {})", number(own.median), number(own.min), number(own.max))
}

/// Those who can do nothing about an event say why.
pub(super) fn events(report: &Report) -> String {
    let mut text =
        "## Events\n\nOn the lab's resolver, whose answers hold for a second, and its API \
                    servers, asked over TLS and HTTP/2. What still fails after 15 s is watched no \
                    longer.\n"
            .to_owned();
    for workload in EVENTS {
        let whats = match workload {
            Workload::Rotation => [What::FirstNew, What::FirstNewTold, What::Failed],
            _ => [What::LastFailed, What::Failed, What::Slowest],
        };
        let figures = whats.map(|what| Figure { workload, what });
        text += &event(report, workload, &figures);
    }
    text
}

fn event(report: &Report, workload: Workload, figures: &[Figure]) -> String {
    let mut text = load(report, workload, figures);
    for contender in Contender::ALL {
        if let Some(why) = contender.obstacle(workload) {
            writeln!(text, "\n{contender}: {why}.").expect("a string");
        }
    }
    text
}

pub(super) fn packets(report: &Report) -> String {
    let mut text =
        "## A packet in the eBPF programs\n\nBy the kernel's own clock, in one thread, in \
                    nanoseconds (BPF_PROG_TEST_RUN).\n\n| hook, family, packet, table | median \
                    (smallest – largest) |\n|---|---|\n"
            .to_owned();
    for cost in &report.packets.costs {
        if let Some(own) = Summary::of(&cost.nanos) {
            writeln!(text, "| {} | {} |", cost.case, spread(&own)).expect("a string");
        }
    }
    text += "\n| program | instructions | looked at by the verifier |\n|---|---|---|\n";
    for program in &report.packets.instructions {
        let (name, all, seen) = (&program.program, program.translated, program.verified);
        writeln!(text, "| `{name}` | {all} | {seen} |").expect("a string");
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
