//! What the merge goes by.

use std::time::Duration;

use crate::{
    config::{HealthConfig, LifeConfig},
    health::Thresholds,
    zone::Zone,
};

/// So many answers in a row, at the least, must lack an address before it counts as gone: a
/// resolver may answer with a part of what there is.
pub const ABSENT_ANSWERS: u32 = 3;
/// Share of the time to drain by which backends that left at once end apart.
const JITTER: f64 = 0.1;
/// Times that it takes to notice one fault, until a fault of all is laid to the backends.
const PATIENCE: u32 = 3;

#[derive(Clone, Debug)]
pub struct Rules {
    pub thresholds: Thresholds,
    /// How long an address must be missing before it counts as gone.
    pub absent_grace: Duration,
    /// How long connections stay on a backend that is gone from the answer and passes its probes.
    pub drain: Duration,
    /// How long a fault that has struck all backends is taken for one of our own network.
    pub patience: Duration,
    pub zone: Zone,
    pub prefer_zone: bool,
}

impl Rules {
    pub fn new(health: &HealthConfig, life: &LifeConfig, zone: Zone) -> Self {
        let notice = health.interval * u32::from(health.fall.get());
        Self {
            thresholds: Thresholds { fall: health.fall, rise: health.rise },
            absent_grace: life.absent_grace,
            drain: life.drain,
            patience: PATIENCE * notice,
            zone,
            prefer_zone: life.prefer_zone,
        }
    }

    /// `luck`: from 0 to 1.
    pub fn drain(&self, luck: f64) -> Duration {
        self.drain.mul_f64(1.0 + JITTER * (2.0 * luck - 1.0))
    }
}
