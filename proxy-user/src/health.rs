//! Probes backends and judges them.

mod failure;
mod https;
mod judge;
mod pace;
mod probe;
mod probers;
mod suspects;
mod tls;

pub use failure::ProbeError;
pub use judge::{Judge, Outcome, Thresholds, Verdict};
pub use probe::{Finding, Probe};
pub use probers::Probers;
pub use suspects::Suspects;
