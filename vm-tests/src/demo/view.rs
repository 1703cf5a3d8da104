//! The live view: a pure function of the model, at its best from 80×24 on.

mod backends;
mod events;
#[cfg(test)]
pub(crate) mod fixture;
mod sections;
mod title;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize as _},
    text::Span,
    widgets::{Block, Borders},
};

use super::model::Model;

/// From this height on, there is room to spare.
const TALL: u16 = 32;

pub(crate) fn draw(frame: &mut Frame, model: &Model) {
    let tall = frame.area().height >= TALL;
    let [title, backends, traffic, middle, events] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(if tall { 10 } else { 8 }),
        Constraint::Length(if tall { 8 } else { 5 }),
        Constraint::Length(4),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let [dns, rotation] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(middle);
    title::draw(frame, title, model);
    backends::draw(frame, backends, model);
    sections::traffic(frame, traffic, model);
    sections::dns(frame, dns, model);
    sections::rotation(frame, rotation, model);
    events::draw(frame, events, model);
}

/// A rule with a name on it; what belongs to it follows below.
fn section(name: &str) -> Block<'_> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(Span::from(format!(" {name} ")).bold())
}

/// For what labels a number, so that the number stands out.
fn dim<'a>(text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
    Span::from(text).fg(Color::DarkGray)
}

/// None is good, any is not.
fn failures(number: u64) -> Span<'static> {
    let color = if number == 0 { Color::Green } else { Color::Red };
    Span::from(super::text::count(number)).fg(color).bold()
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn drawn(width: u16, height: u16, model: &Model) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, model)).expect("drawn");
        terminal.backend().to_string()
    }

    fn assert_shows(screen: &str, texts: &[&str]) {
        for text in texts {
            assert!(screen.contains(text), "{text:?} is not on the screen:\n{screen}");
        }
    }

    #[test]
    fn a_small_terminal_shows_what_matters() {
        let screen = drawn(80, 24, &fixture::model());
        assert_shows(
            &screen,
            &[
                "0123456789ABCDEF0123456789ABCDEF.gr7.us-west-2.eks.amazonaws.com",
                "enigate 0.1.0  ● ready  up 1 min 40 s  flow table 24 of 131,072",
                "packet via tcx on eth0  nothing to read from the client",
                "██░░░░  25 %",
                "● live",
                "◐ draining",
                "10.0.21.13",
                "120",
                "TTL 2 s",
                "failures 0",
                "next in 7.0 s",
                "rotations 3",
                "p99 8.4 ms",
                "answer: 10.0.21.13",
                "q ends",
            ],
        );
    }

    #[test]
    fn a_large_terminal_shows_more_events() {
        let model = fixture::model();
        assert!(!drawn(80, 24, &model).contains("the oldest event"));
        assert_shows(&drawn(120, 40, &model), &["the oldest event"]);
    }

    #[test]
    fn an_agent_that_does_not_answer_is_named() {
        let mut model = fixture::model();
        model.silence = Some("connection refused".into());
        assert_shows(&drawn(80, 24, &model), &["agent does not answer: connection refused"]);
    }

    #[test]
    fn no_terminal_is_too_small_to_draw_on() {
        let model = fixture::model();
        for (width, height) in [(1, 1), (10, 3), (40, 10), (300, 100)] {
            drawn(width, height, &model);
        }
        drawn(80, 24, &Model::new(model.now, model.rotation.every, model.now));
    }
}
