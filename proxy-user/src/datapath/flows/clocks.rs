//! When each of the packet path's chores is due.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::datapath::kernel::reset;

/// Between two rounds through the flow table.
pub const SWEEP: Duration = Duration::from_secs(2);
/// How old counters may be; a snapshot that could not be put in force is tried again as often.
const COLLECT: Duration = Duration::from_millis(500);
/// Between two looks for flow events; the ring buffer holds what comes in ten times as long.
const LISTEN: Duration = Duration::from_millis(100);

/// How old the accounts of connections may be that were handed over.
const ACCOUNT: Duration = Duration::from_secs(5);

/// What is to be done next.
pub enum Due {
    Publish,
    Collect,
    Reset,
    Listen,
    Account,
    Sweep,
}

pub struct Clocks {
    pub sweep: Interval,
    pub collect: Interval,
    pub pace: Interval,
    pub listen: Interval,
    pub account: Interval,
}

impl Clocks {
    pub fn new() -> Self {
        Self {
            sweep: every(SWEEP),
            collect: every(COLLECT),
            pace: every(reset::PACE),
            listen: every(LISTEN),
            account: every(ACCOUNT),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
