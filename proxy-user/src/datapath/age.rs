//! How old a connection may become.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

/// Share of the age by which connections that were opened at once end apart.
const JITTER: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge(Duration);

impl MaxAge {
    pub const fn new(about: Duration) -> Self {
        Self(about)
    }

    /// A tenth more or less, always the same for the same connection: nobody has to keep it.
    pub fn of(self, connection: &impl Hash) -> Duration {
        self.0.mul_f64(1.0 + JITTER * (2.0 * luck(connection) - 1.0))
    }

    /// No connection ends before.
    pub fn least(self) -> Duration {
        self.0.mul_f64(1.0 - JITTER)
    }
}

/// From 0 to 1, always the same for the same connection.
pub fn luck(connection: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    connection.hash(&mut hasher);
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_moment_end_apart_and_each_always_at_the_same_age() {
        let max_age = MaxAge::new(Duration::from_secs(100));
        let ages: Vec<_> = (0..1_000u32).map(|connection| max_age.of(&connection)).collect();
        let again: Vec<_> = (0..1_000u32).map(|connection| max_age.of(&connection)).collect();
        assert_eq!(ages, again);
        assert!(ages.iter().all(|age| (max_age.least()..=Duration::from_secs(110)).contains(age)));
        for tenth in 0..10u64 {
            let from = Duration::from_secs(90 + 2 * tenth);
            let here =
                ages.iter().filter(|age| (from..from + Duration::from_secs(2)).contains(*age));
            let count = here.count();
            assert!((50..150).contains(&count), "{count} from {from:?}");
        }
    }
}
