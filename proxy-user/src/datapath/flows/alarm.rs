//! A count that should not grow: somebody is told when it does, but not with every look.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Alarm {
    what: &'static str,
    /// What the count was when it was last told; `None` before the first look, for what an earlier
    /// agent has counted is no news.
    told: Option<u64>,
    quiet_until: Option<Instant>,
}

impl Alarm {
    /// `what`: follows a number, as in "3 `what`".
    pub const fn new(what: &'static str) -> Self {
        Self { what, told: None, quiet_until: None }
    }

    /// What is to be told of the count as it is now.
    pub fn look(&mut self, count: u64, now: Instant) -> Option<String> {
        let told = *self.told.get_or_insert(count);
        let is_quiet = self.quiet_until.is_some_and(|until| now < until);
        if count <= told || is_quiet {
            return None;
        }
        self.told = Some(count);
        self.quiet_until = Some(now + PAUSE);
        Some(format!("{} {}", count - told, self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_once_a_minute_with_all_that_came_since() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = Alarm::new("SYNs went astray");
        let looks = [(0, 7), (1, 7), (2, 10), (3, 12), (61, 20), (62, 25), (63, 25), (130, 25)];
        let told = looks.map(|(second, count)| alarm.look(count, at(second)));
        let message = |text: &str| Some(format!("{text} SYNs went astray"));
        let expected = [None, None, message("3"), None, None, message("15"), None, None];
        assert_eq!(told, expected);
    }
}
