//! The last events, the newest at the bottom.

use proxy_user::status::Event;
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Stylize as _},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    super::model::{FAILURE, Model, ROTATION},
    dim, section,
};

pub(super) fn draw(frame: &mut Frame, area: Rect, model: &Model) {
    let block = section("events (UTC)");
    let room = usize::from(block.inner(area).height);
    let events = model.events();
    let newest = events.into_iter().rev().take(room).rev();
    let lines: Vec<_> = newest.map(line).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn line(event: &Event) -> Line<'_> {
    Line::from(vec![
        dim(event.at.strftime("%H:%M:%S  ").to_string()),
        Span::from(format!("{:<10}", event.kind)).fg(color(&event.kind)),
        event.message.as_str().into(),
    ])
}

fn color(kind: &str) -> Color {
    match kind {
        FAILURE => Color::Red,
        ROTATION => Color::Yellow,
        "backend" => Color::Green,
        "dns" => Color::Cyan,
        _ => Color::Reset,
    }
}
