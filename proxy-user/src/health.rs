//! Probes backends and judges them.

mod judge;
mod probe;

pub use judge::{Judge, Outcome, Thresholds, Verdict};
pub use probe::{Finding, ProbeError, Probers, probe};
