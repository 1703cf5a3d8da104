//! How long backends and connections live, and which backends are liked best.

use std::time::Duration;

use super::{
    period::{Patience, Period},
    settings::Settings,
};

#[derive(Clone, Copy, Debug)]
pub struct LifeConfig {
    /// How long an address must be missing from the answers before it counts as gone.
    pub absent_grace: Duration,
    /// How long connections stay on a backend that is gone from the answer and passes its probes.
    pub drain: Duration,
    /// About how old a connection may become; `None`: as old as it likes.
    pub max_age: Option<Duration>,
    pub prefer_zone: bool,
}

impl LifeConfig {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            absent_grace: settings.absent_grace.unwrap_or(Patience::seconds(30)).get(),
            drain: settings.drain.unwrap_or(Patience::seconds(3_600)).get(),
            max_age: settings.max_age.map(Period::get),
            prefer_zone: settings.prefer_zone.unwrap_or(false),
        }
    }
}
