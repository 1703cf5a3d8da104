//! Traffic, DNS and rotation: a few lines each.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Stylize as _},
    text::{Line, Span},
    widgets::{Paragraph, Sparkline},
};

use super::{super::model::Model, dim, failures, section};
use crate::{
    demo::{model, text},
    rotation::Step,
};

const GAUGE: usize = 10;

pub(super) fn traffic(frame: &mut Frame, area: Rect, model: &Model) {
    let block = section("traffic");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [numbers, bars] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1)]).areas(inside);
    frame.render_widget(Paragraph::new(vec![requests(model), watches(model)]), numbers);
    let data = model.rates.newest(bars.width.into());
    frame.render_widget(Sparkline::default().data(data).fg(Color::Cyan), bars);
}

fn requests(model: &Model) -> Line<'static> {
    let counts = &model.counts;
    Line::from(vec![
        dim("requests "),
        format!("{}/s", text::count(model.rates.requests_per_second())).bold(),
        dim("  total "),
        text::count(counts.requests).into(),
        dim("  failures "),
        failures(counts.failures),
        dim("  p50 "),
        text::span(counts.p50).into(),
        dim("  p99 "),
        text::span(counts.p99).into(),
    ])
}

fn watches(model: &Model) -> Line<'static> {
    let counts = &model.counts;
    Line::from(vec![
        dim("watches "),
        text::count(counts.watches).into(),
        dim(" open, "),
        text::count(counts.watches_reopened).into(),
        dim(" opened again  received "),
        format!("{}/s", text::bytes(model.rates.bytes_per_second())).into(),
        dim("  total "),
        text::bytes(counts.bytes).into(),
    ])
}

pub(super) fn dns(frame: &mut Frame, area: Rect, model: &Model) {
    let Some(dns) = model.status.as_ref().map(|status| &status.routes[0].dns) else {
        return frame.render_widget(section("DNS"), area);
    };
    let addresses: Vec<_> = dns.addresses.iter().map(ToString::to_string).collect();
    let ttl = Duration::from_secs(dns.ttl_seconds.unwrap_or_default());
    let next = Duration::from_millis(dns.next_in_ms.unwrap_or_default());
    let counts = vec![
        dim("answers "),
        text::count(dns.answers).into(),
        dim("  failures "),
        failures(dns.failures),
        dim("  by "),
        dns.resolvers.join(" ").into(),
    ];
    let schedule = vec![
        dim("TTL "),
        format!("{} s", ttl.as_secs()).into(),
        dim("  next in "),
        format!("{:<7}", text::span(next)).into(),
        gauge(next, ttl),
    ];
    let lines = vec![Line::from(addresses.join(" ")), schedule.into(), counts.into()];
    frame.render_widget(Paragraph::new(lines).block(section("DNS")), area);
}

pub(super) fn rotation(frame: &mut Frame, area: Rect, model: &Model) {
    let rotation = &model.rotation;
    let now = match (rotation.step, rotation.next_in(model.now)) {
        (Step::Idle, Some(next)) => vec![
            dim("next in "),
            format!("{:<7}", text::span(next)).into(),
            gauge(next, rotation.every),
        ],
        (Step::Idle, None) => vec![dim("the last is done")],
        (step, _) => vec![Span::from(format!("● {step}")).fg(Color::Yellow)],
    };
    let done = vec![
        dim("rotations "),
        rotation.done.to_string().into(),
        dim("  failed "),
        failures(rotation.errors.len() as u64),
    ];
    let last = rotation.last.as_ref().map(model::outcome).unwrap_or_default();
    let lines = vec![now.into(), done.into(), Line::from(last)];
    frame.render_widget(Paragraph::new(lines).block(section("rotation")), area);
}

/// What is left of the whole.
fn gauge(left: Duration, whole: Duration) -> Span<'static> {
    let part = left.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    Span::from(text::bar(part, GAUGE)).fg(Color::Cyan)
}
