//! Bars for what was measured, with a line from the smallest to the largest value: a file for each
//! kind of load, a panel for each figure.

mod panel;

use std::{fs, path::Path};

use anyhow::Context as _;

use self::panel::{Bar, Panel};
use super::{
    contender::Contender,
    figure::{Figure, What},
    load::Direction,
    report::Report,
    stats::Summary,
    workload::{DOWN, Workload},
};

const UP: Workload = Workload::Bulk { direction: Direction::Up, streams: 8 };

pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (name, figures) in sheets() {
        let panels = figures.into_iter().filter_map(|figure| panel(report, figure));
        let panels = panels.collect::<Vec<_>>();
        panel::draw(&folder.join(format!("{name}.svg")), &panels)?;
    }
    panel::draw(&folder.join("programs.svg"), &packets(report))
}

fn sheets() -> Vec<(&'static str, Vec<Figure>)> {
    let all = Workload::AFTER_IDLE.into_iter();
    let of = |wanted: fn(&Workload) -> bool, what| {
        all.clone().filter(wanted).map(move |workload| Figure { workload, what })
    };
    let bulk: fn(&Workload) -> bool = |workload| matches!(workload, Workload::Bulk { .. });
    let ping: fn(&Workload) -> bool = |workload| matches!(workload, Workload::Ping { .. });
    let connections = [Workload::Connects, Workload::Handshakes, Workload::Crowd];
    let figure = |what| move |workload| Figure { workload, what };
    let memory = [What::Memory, What::KernelBeyond].map(|what| figure(what)(Workload::Idle));
    let events = [
        (Workload::Rotation, What::FirstNew),
        (Workload::Rotation, What::Failed),
        (Workload::DeadEni, What::LastFailed),
        (Workload::DeadEni, What::Failed),
    ];
    vec![
        ("bulk", of(bulk, What::Rate).collect()),
        ("requests", of(ping, What::Rate).collect()),
        ("latency", of(ping, What::P50).chain(of(ping, What::P99)).collect()),
        ("connections", connections.map(figure(What::Rate)).into()),
        ("processor", [DOWN, UP, Workload::Connects].map(figure(What::Beyond)).into()),
        ("memory", memory.into()),
        ("events", events.map(|(workload, what)| figure(what)(workload)).into()),
    ]
}

/// `None` where nobody has a value.
fn panel(report: &Report, figure: Figure) -> Option<Panel> {
    let bars = Contender::ALL.into_iter().filter_map(|contender| {
        let summary = report.summary(contender, figure)?;
        Some(Bar { name: contender.to_string(), summary })
    });
    let bars: Vec<_> = bars.collect();
    let scale = format!("{}, {}", figure.name(), figure.unit());
    (!bars.is_empty()).then(|| Panel { title: figure.workload.to_string(), scale, bars })
}

fn packets(report: &Report) -> Vec<Panel> {
    let bars = report.packets.costs.iter().filter_map(|cost| {
        Some(Bar { name: cost.case.to_string(), summary: Summary::of(&cost.nanos)? })
    });
    let bars: Vec<_> = bars.collect();
    let title = "a packet in the eBPF programs".to_owned();
    let panel = Panel { title, scale: "ns".to_owned(), bars };
    if panel.bars.is_empty() { Vec::new() } else { vec![panel] }
}
