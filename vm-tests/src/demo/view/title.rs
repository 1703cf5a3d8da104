//! Which endpoint, by which data path, since when, and whether all is well.

use std::time::Duration;

use proxy_user::status::{DatapathStatus, Status};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Stylize as _},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{super::model::Model, dim};
use crate::demo::text;

pub(super) fn draw(frame: &mut Frame, area: Rect, model: &Model) {
    let lines = match &model.status {
        Some(status) => vec![endpoint(status), health(status, model), datapath(&status.datapath)],
        None => vec![Line::from("waiting for the agent's first word")],
    };
    frame.render_widget(Paragraph::new(lines), area);
    frame.render_widget(Paragraph::new(dim("q ends")).right_aligned(), area);
}

fn endpoint(status: &Status) -> Line<'_> {
    Line::from(status.routes[0].endpoint.as_str()).bold()
}

fn health<'a>(status: &'a Status, model: &'a Model) -> Line<'a> {
    let up = Duration::try_from(model.now.duration_since(status.started_at)).unwrap_or_default();
    let (word, color) = match (&model.silence, status.ready) {
        (Some(why), _) => (format!("● agent does not answer: {why}"), Color::Red),
        (None, true) => ("● ready".to_owned(), Color::Green),
        (None, false) => ("● not ready".to_owned(), Color::Red),
    };
    let mut spans = vec![
        Span::from(format!("enigate {}  ", status.version)).bold(),
        Span::from(word).fg(color),
        dim("  up "),
        text::span(up).into(),
    ];
    if let Some(reason) = &status.reason {
        spans.extend([dim("  "), reason.into()]);
    }
    spans.extend(flows(&status.datapath));
    Line::from(spans)
}

fn datapath(datapath: &DatapathStatus) -> Line<'_> {
    let mut spans = vec![Span::from(datapath.name.as_str()).fg(Color::Cyan).bold()];
    if let Some(hook) = &datapath.hook {
        spans.extend([dim(" via "), hook.as_str().into()]);
    }
    if let Some(interface) = &datapath.interface {
        spans.extend([dim(" on "), interface.as_str().into()]);
    }
    spans.extend([dim("  "), dim(datapath.reason.as_str())]);
    Line::from(spans)
}

/// Where there is a flow table.
fn flows(datapath: &DatapathStatus) -> Vec<Span<'_>> {
    match (datapath.flow_entries, datapath.flow_capacity) {
        (_, 0) => Vec::new(),
        (entries, capacity) => vec![
            dim("  flow table "),
            format!("{} of {}", text::count(entries), text::count(capacity)).into(),
        ],
    }
}
