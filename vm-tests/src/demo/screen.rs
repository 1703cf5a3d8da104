//! The terminal, ours while this lives and the user's again afterwards, even after a panic.

use std::{ops::ControlFlow, time::Duration};

use anyhow::Context as _;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;

use super::{model::Model, session, view};

pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("taking over the terminal (try --plain)")?;
        Ok(Self { terminal })
    }
}

impl session::View for Screen {
    fn show(&mut self, model: &Model) -> anyhow::Result<ControlFlow<()>> {
        self.terminal.draw(|frame| view::draw(frame, model)).context("drawing")?;
        while event::poll(Duration::ZERO).context("looking for keys")? {
            if ends(&event::read().context("reading keys")?) {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn ends(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return false;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn q_and_control_c_end_it_and_a_plain_c_does_not() {
        assert!(ends(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(ends(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!ends(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!ends(&Event::Resize(80, 24)));
    }
}
