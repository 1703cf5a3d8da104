//! Time in four bytes.

use core::time::Duration;

/// CLOCK_MONOTONIC in units of 2^20 ns (1.05 ms). It wraps after 52 days, so only the time between
/// two stamps has a meaning, and only up to [`Stamp::HORIZON`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u32);

const SHIFT: u32 = 20;

impl Stamp {
    pub const ZERO: Self = Self(0);
    /// Differences beyond this are taken for a stamp that is a little ahead (another CPU's clock).
    pub const HORIZON: Duration = Duration::from_nanos((i32::MAX as u64) << SHIFT);

    #[inline(always)]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self((nanos >> SHIFT) as u32)
    }

    /// How long after `earlier` this is; zero if it is not.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> Age {
        let ticks = self.0.wrapping_sub(earlier.0);
        Age(if ticks > i32::MAX as u32 { 0 } else { ticks })
    }
}

/// Time between two stamps, in the same units.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(u32);

impl Age {
    pub const fn from_millis(millis: u32) -> Self {
        Self(((millis as u64 * 1_000_000) >> SHIFT) as u32)
    }
}

impl From<Age> for Duration {
    fn from(age: Age) -> Self {
        Self::from_nanos(u64::from(age.0) << SHIFT)
    }
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(transparent)` over an integer: any bytes are a value.
    unsafe impl aya::Pod for super::Stamp {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_time_between_two_stamps_survives_the_wrap() {
        let before = Stamp(u32::MAX - 10);
        let after = Stamp(20);
        assert_eq!(after.since(before), Age(31));
        assert_eq!(before.since(after), Age(0), "a stamp from the future is new, not ancient");
    }

    #[test]
    fn an_age_is_a_duration_to_within_two_milliseconds() {
        let age = Stamp::from_nanos(100 * SECOND).since(Stamp::from_nanos(90 * SECOND));
        let off = Duration::from_secs(10).abs_diff(Duration::from(age));
        assert!(off < Duration::from_millis(2), "{off:?}");
        assert!(Stamp::HORIZON > Duration::from_secs(6_100));
    }
}
