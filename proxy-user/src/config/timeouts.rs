//! How long the connections of the flow table may be silent.

use std::time::Duration;

use proxy_common::flow::Life;

use super::{Refusal, period::Period};

const SYN: Period = Period::seconds(10);
/// Above the longest idle timeout of a Network Load Balancer, 6,000 s.
const IDLE: Period = Period::seconds(6_100);
/// For the last packets of both sides.
const CLOSING: Period = Period::seconds(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts {
    syn: Duration,
    idle: Duration,
    closing: Duration,
}

impl FlowTimeouts {
    pub fn new(
        syn: Option<Period>,
        idle: Option<Period>,
        closing: Option<Period>,
    ) -> Result<Self, Refusal> {
        let (syn, idle, closing) =
            (syn.unwrap_or(SYN), idle.unwrap_or(IDLE), closing.unwrap_or(CLOSING));
        for (flag, shorter) in [("timeout-syn", syn), ("timeout-closing", closing)] {
            if shorter > idle {
                let wrong =
                    format!("is above --timeout-idle {idle}; lower the one or raise the other");
                return Err(Refusal::new(flag, shorter, wrong));
            }
        }
        Ok(Self { syn: syn.get(), idle: idle.get(), closing: closing.get() })
    }

    pub const fn of(self, life: Life) -> Duration {
        match life {
            Life::Opening => self.syn,
            Life::Open => self.idle,
            Life::Closed => self.closing,
        }
    }

    pub fn shortest(self) -> Duration {
        self.syn.min(self.closing)
    }
}

impl Default for FlowTimeouts {
    fn default() -> Self {
        Self { syn: SYN.get(), idle: IDLE.get(), closing: CLOSING.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_above_the_idle_one() {
        let short = Some(Period::seconds(60));
        let refusal = FlowTimeouts::new(None, short, None).unwrap_err().to_string();
        assert!(
            refusal.starts_with("timeout-closing: 2m: is above --timeout-idle 1m"),
            "{refusal}"
        );
        let refusal = FlowTimeouts::new(Some(Period::seconds(61)), short, short).unwrap_err();
        assert_eq!(refusal.field, "timeout-syn");
        assert!(FlowTimeouts::new(short, short, short).is_ok());
    }

    #[test]
    fn without_any_the_defaults_hold() {
        let timeouts = FlowTimeouts::new(None, None, None).unwrap();
        assert_eq!(timeouts, FlowTimeouts::default());
        assert_eq!(timeouts.shortest(), Duration::from_secs(10));
    }
}
