//! What is left to say when the demo ends.

use std::{fmt, net::SocketAddr};

use super::{
    model::{Model, Seen, outcome},
    text,
};
use crate::{counts::Counts, eni::Subnet, rotation::RotationReport};

#[derive(Clone, Debug)]
pub(crate) struct Summary {
    counts: Counts,
    rotations: u32,
    last: Option<RotationReport>,
    /// What went wrong beside failed requests.
    errors: Vec<String>,
    backends: Vec<(SocketAddr, Seen)>,
}

impl Summary {
    /// With `expect_rotation`, none at all is an error too.
    pub(crate) fn new(model: &Model, expect_rotation: bool) -> Self {
        let mut errors = model.rotation.errors.clone();
        if model.counts.requests == 0 {
            errors.push("no request was made".into());
        }
        if expect_rotation && model.rotation.done == 0 && errors.is_empty() {
            errors.push("ended before a whole rotation was seen".into());
        }
        Self {
            counts: model.counts.clone(),
            rotations: model.rotation.done,
            last: model.rotation.last.clone(),
            errors,
            backends: model.seen.iter().map(|(address, seen)| (*address, *seen)).collect(),
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.counts.failures == 0 && self.errors.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let requests = text::count(counts.requests);
        writeln!(f, "\nrequests   {requests}, {} failed", text::count(counts.failures))?;
        writeln!(f, "latency    p50 {}, p99 {}", text::span(counts.p50), text::span(counts.p99))?;
        writeln!(f, "bytes      {} received", text::bytes(counts.bytes))?;
        writeln!(f, "watches    {} opened again", text::count(counts.watches_reopened))?;
        writeln!(f, "rotations  {}", self.rotations)?;
        if let Some(last) = &self.last {
            writeln!(f, "           the last one: {}", outcome(last))?;
        }
        writeln!(f, "connections by backend")?;
        for (address, seen) in &self.backends {
            writeln!(f, "  {}", backend(*address, *seen))?;
        }
        let failed = counts.last_errors.iter().map(|error| format!("failed request: {error}"));
        failed.chain(self.errors.iter().cloned()).try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn backend(address: SocketAddr, seen: Seen) -> String {
    let subnet = Subnet::of(address.ip()).map_or_else(|| "?".into(), |subnet| subnet.to_string());
    let (connections, bytes) = (text::count(seen.connections), text::bytes(seen.bytes));
    format!("{:<21} subnet {subnet} {connections:>9} {bytes:>10}", address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::fixture;

    #[test]
    fn a_failed_request_is_shown_and_not_clean() {
        let mut model = fixture::model();
        model.counts.failures = 1;
        model.counts.last_errors = vec!["/readyz: refused".into()];
        let summary = Summary::new(&model, true);
        assert!(!summary.is_clean());
        assert!(summary.to_string().contains("failed request: /readyz: refused"), "{summary}");
    }

    #[test]
    fn all_well_is_clean_and_says_who_had_what() {
        let summary = Summary::new(&fixture::model(), true);
        assert!(summary.is_clean(), "{summary}");
        let text = summary.to_string();
        assert!(text.contains("10.0.21.13:443        subnet a       120     2.4 MB"), "{text}");
        assert!(text.contains("rotations  3"), "{text}");
    }

    #[test]
    fn a_rotation_that_never_came_is_an_error_where_one_was_asked_for() {
        let mut model = fixture::model();
        model.rotation.done = 0;
        assert!(Summary::new(&model, false).is_clean());
        assert!(!Summary::new(&model, true).is_clean());
    }
}
