//! The demo where there is no terminal: a line each second, and one for each event.

use std::ops::ControlFlow;

use jiff::Timestamp;
use proxy_user::status::{BackendState, Event, Status};

use super::{model::Model, session::View, text};
use crate::rotation::Step;

#[derive(Default)]
pub(crate) struct Plain {
    /// The second that was printed last.
    second: i64,
    agent_events: Printed,
    notes: Printed,
}

/// The time of the newest event of one source that was printed. Each source has its own: what
/// the agent saw first may come here last.
#[derive(Default)]
struct Printed(Option<Timestamp>);

impl View for Plain {
    fn show(&mut self, model: &Model) -> anyhow::Result<ControlFlow<()>> {
        self.lines(model).iter().for_each(|line| println!("{line}"));
        Ok(ControlFlow::Continue(()))
    }
}

impl Plain {
    /// What has not been printed yet.
    fn lines(&mut self, model: &Model) -> Vec<String> {
        let mut fresh = self.agent_events.advance(model.agent_events());
        fresh.extend(self.notes.advance(model.notes()));
        fresh.sort_by_key(|event| event.at);
        let mut lines: Vec<_> = fresh.into_iter().map(event).collect();
        if model.now.as_second() > self.second {
            self.second = model.now.as_second();
            lines.push(format!("{}  {}", model.now.strftime("%H:%M:%S"), state(model)));
        }
        lines
    }
}

impl Printed {
    fn advance<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> Vec<&'a Event> {
        let fresh: Vec<_> = events.filter(|event| Some(event.at) > self.0).collect();
        self.0 = fresh.iter().map(|event| event.at).max().max(self.0);
        fresh
    }
}

fn event(event: &Event) -> String {
    format!("{}  {:<9} {}", event.at.strftime("%H:%M:%S"), event.kind, event.message)
}

fn state(model: &Model) -> String {
    let counts = &model.counts;
    let backends = model.status.iter().flat_map(Status::backends);
    let live = backends.filter(|backend| backend.state == BackendState::Live).count();
    let rotation = match model.rotation.step {
        Step::Idle => match model.rotation.next_in(model.now) {
            Some(next) => format!("next rotation in {} s", next.as_secs()),
            None => "last rotation done".into(),
        },
        step => step.to_string(),
    };
    format!(
        "{} requests/s, {} failures, p50 {}, p99 {}, {live} live backends, {} watches; {rotation}",
        model.rates.requests_per_second(),
        text::count(counts.failures),
        text::span(counts.p50),
        text::span(counts.p99),
        counts.watches,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::fixture;

    #[test]
    fn an_event_is_printed_once_and_the_state_once_a_second() {
        let mut plain = Plain::default();
        let model = fixture::model();
        let first = plain.lines(&model);
        assert!(first[0].contains("lifecycle the oldest event"), "{first:?}");
        assert!(first.last().is_some_and(|line| line.contains("3 live backends")), "{first:?}");
        assert_eq!(plain.lines(&model), [""; 0]);
    }

    #[test]
    fn no_rotation_is_announced_after_the_last() {
        let mut model = fixture::model();
        model.rotation.step = Step::Idle;
        assert!(state(&model).contains("next rotation in"), "{}", state(&model));
        model.rotation.next_at = None;
        assert!(state(&model).ends_with("; last rotation done"), "{}", state(&model));
    }

    #[test]
    fn an_agents_event_that_arrives_late_is_still_printed() {
        let mut plain = Plain::default();
        let mut model = fixture::model();
        let late = model.status.take();
        plain.lines(&model);
        model.status = late;
        assert!(plain.lines(&model).iter().any(|line| line.contains("the oldest event")));
    }
}
