//! Why the state of a backend changed. What befalls one can change others: each says its own
//! reason.

use super::snapshot::Change;
use crate::{health::Finding, status::BackendState};

/// What was heard just now.
pub enum Cause<'a> {
    Inherited,
    Answered,
    Probed(&'a Finding),
    Waited,
}

impl Cause<'_> {
    pub fn of(&self, change: &Change) -> String {
        match self {
            Self::Probed(finding) if finding.backend == change.address => match &finding.result {
                Ok(()) => "it passes its probes".into(),
                Err(error) => format!("its probes fail: {error}"),
            },
            _ => self.consequence(change).into(),
        }
    }

    fn consequence(&self, change: &Change) -> &'static str {
        use BackendState::{Draining, Live};
        match (self, change.from, change.to) {
            (Self::Inherited, _, _) => "an earlier agent left it",
            (Self::Waited, _, None) => "its time to drain is over",
            (_, _, None) => "it left the answer",
            (_, _, Some(Draining)) => "it left the answer, and another lives",
            (_, _, Some(Live)) if !change.resolved => "it stands in: none of the answer lives",
            _ => "it is in the answer",
        }
    }
}
