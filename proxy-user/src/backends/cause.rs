//! Why the state of a backend changed. What befalls one can change others: each says its own
//! reason.

use std::net::SocketAddr;

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
                Err(error) if change.to.is_none() => {
                    format!("it is not in the answer, and its probes fail: {error}")
                }
                Err(error) => format!("its probes fail: {error}"),
            },
            _ => self.consequence(change).into(),
        }
    }

    /// What is wrong with this backend, as far as is known.
    pub fn of_fault(&self, backend: SocketAddr) -> String {
        match self {
            Self::Probed(Finding { backend: probed, result: Err(error), .. })
                if *probed == backend =>
            {
                format!("its probes fail: {error}")
            }
            _ => "its probes fail".into(),
        }
    }

    fn consequence(&self, change: &Change) -> &'static str {
        use BackendState::{Down, Draining, Live};
        match (self, change.from, change.to) {
            (Self::Inherited, _, _) => "an earlier agent left it",
            (Self::Waited, Some(Draining), None) => "its time to drain is over",
            (_, _, None) => "it is not in the answer, and its probes fail",
            (_, _, Some(Draining)) => "it left the answer, and another lives",
            (_, Some(Live), Some(Down)) => "its probes fail, and another lives again",
            (_, _, Some(Live)) if !change.resolved => "it stands in: none of the answer lives",
            _ => "it is in the answer",
        }
    }
}
