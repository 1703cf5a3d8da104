//! One row for each backend, those that take connections first.

use std::time::Duration;

use proxy_user::status::{BackendState, BackendStatus, Status};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Row, Table},
};

use super::{super::model::Model, section};
use crate::{demo::text, eni::Subnet};

const HEAD: [&str; 9] =
    ["state", "address", "net", "probe", "open", "conns", "up", "down", "share"];
const WIDTHS: [Constraint; 9] = [
    Constraint::Length(10),
    Constraint::Length(12),
    Constraint::Length(3),
    Constraint::Length(6),
    Constraint::Length(5),
    Constraint::Length(7),
    Constraint::Length(8),
    Constraint::Length(8),
    Constraint::Fill(1),
];
/// What the columns before the last leave of 80 cells, less the number.
const SHORTEST_BAR: usize = 6;
const LONGEST_BAR: usize = 30;

pub(super) fn draw(frame: &mut Frame, area: Rect, model: &Model) {
    let mut backends: Vec<_> = model.status.iter().flat_map(Status::backends).collect();
    backends.sort_by_key(|backend| (order(backend.state), backend.address));
    let all: u64 = backends.iter().map(|backend| backend.opened).sum();
    let spare = usize::from(area.width.saturating_sub(80));
    let bar = LONGEST_BAR.min(SHORTEST_BAR + spare);
    let rows = backends.into_iter().map(|backend| row(backend, all, bar));
    let head = Row::new(HEAD.into_iter().enumerate().map(|(column, name)| cell(column, name)))
        .style(Style::new().fg(Color::DarkGray));
    frame.render_widget(Table::new(rows, WIDTHS).header(head).block(section("backends")), area);
}

fn row(backend: &BackendStatus, all: u64, bar: usize) -> Row<'static> {
    let (symbol, color) = look(backend.state);
    let part = backend.opened as f64 / all.max(1) as f64;
    let probe = backend.probe.last_ms.map_or_else(|| "–".into(), milliseconds);
    let subnet = Subnet::of(backend.address.ip()).map(|subnet| subnet.to_string());
    let texts = [
        backend.address.ip().to_string(),
        subnet.unwrap_or_default(),
        probe,
        text::count(backend.open),
        text::count(backend.opened),
        text::bytes(backend.bytes_to_backend),
        text::bytes(backend.bytes_to_client),
        format!("{} {:>3.0} %", text::bar(part, bar), part * 100.0),
    ];
    let state = Line::from(Span::from(format!("{symbol} {}", name(backend.state))).fg(color));
    let others = texts.into_iter().enumerate().map(|(column, text)| cell(column + 1, text));
    Row::new(std::iter::once(state).chain(others))
}

/// Numbers to the right, below one another.
fn cell(column: usize, text: impl Into<Line<'static>>) -> Line<'static> {
    let line: Line = text.into();
    if (3..8).contains(&column) { line.right_aligned() } else { line }
}

fn milliseconds(value: f64) -> String {
    text::span(Duration::try_from_secs_f64(value / 1000.0).unwrap_or_default())
}

fn order(state: BackendState) -> u8 {
    match state {
        BackendState::Live => 0,
        BackendState::Probing => 1,
        BackendState::Draining => 2,
        BackendState::Down => 3,
    }
}

fn look(state: BackendState) -> (char, Color) {
    match state {
        BackendState::Live => ('●', Color::Green),
        BackendState::Probing => ('○', Color::Cyan),
        BackendState::Draining => ('◐', Color::Yellow),
        BackendState::Down => ('✗', Color::Red),
    }
}

fn name(state: BackendState) -> &'static str {
    match state {
        BackendState::Live => "live",
        BackendState::Probing => "probing",
        BackendState::Draining => "draining",
        BackendState::Down => "down",
    }
}
