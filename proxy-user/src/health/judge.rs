//! Whether a backend lives, judged from its probes in a row: pure.

use std::num::NonZeroU8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// Its certificate says that it is not the endpoint's. No repetition is needed to believe that.
    Stranger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not probed often enough to tell.
    Unknown,
    Up,
    Down,
}

/// How many probes in a row it takes to change the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub fall: NonZeroU8,
    pub rise: NonZeroU8,
}

/// ```text
///   Unknown --rise--> Up <--rise-- Down
///      |               |            ^
///      +-----fall------+----fall----+
/// ```
/// A stranger is down at once.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    verdict: Verdict,
    /// Probes in a row that speak against the verdict; a probe of the other kind starts anew.
    streak: (Outcome, u8),
}

impl Default for Judge {
    fn default() -> Self {
        Self { verdict: Verdict::Unknown, streak: (Outcome::Failed, 0) }
    }
}

impl Judge {
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Not judged yet, and nothing speaks against it.
    pub fn is_promising(&self) -> bool {
        let (kind, length) = self.streak;
        self.verdict == Verdict::Unknown && (length == 0 || kind == Outcome::Passed)
    }

    pub fn hear(&mut self, outcome: Outcome, thresholds: Thresholds) {
        let (kind, length) = self.streak;
        let length = if kind == outcome { length.saturating_add(1) } else { 1 };
        self.streak = (outcome, length);
        let (needed, verdict) = match outcome {
            Outcome::Passed => (thresholds.rise, Verdict::Up),
            Outcome::Failed => (thresholds.fall, Verdict::Down),
            Outcome::Stranger => (NonZeroU8::MIN, Verdict::Down),
        };
        if length >= needed.get() {
            self.verdict = verdict;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds =
        Thresholds { fall: NonZeroU8::new(3).unwrap(), rise: NonZeroU8::new(2).unwrap() };

    /// `+` is a probe that passed, `-` one that failed, `!` one that met a stranger.
    fn judge(probes: &str) -> Verdict {
        let mut judge = Judge::default();
        for probe in probes.chars() {
            let outcome = match probe {
                '+' => Outcome::Passed,
                '-' => Outcome::Failed,
                _ => Outcome::Stranger,
            };
            judge.hear(outcome, THRESHOLDS);
        }
        judge.verdict()
    }

    #[test]
    fn it_takes_several_probes_in_a_row_to_change_the_verdict() {
        for (probes, verdict) in [
            ("", Verdict::Unknown),
            ("+", Verdict::Unknown),
            ("--", Verdict::Unknown),
            ("++", Verdict::Up),
            ("---", Verdict::Down),
            ("++--", Verdict::Up),
            ("++--+--", Verdict::Up),
            ("++---", Verdict::Down),
            ("---+", Verdict::Down),
            ("---+-+", Verdict::Down),
            ("---++", Verdict::Up),
        ] {
            assert_eq!(judge(probes), verdict, "{probes}");
        }
    }

    #[test]
    fn a_stranger_is_down_at_once_and_up_again_as_any_other() {
        for (probes, verdict) in [
            ("!", Verdict::Down),
            ("++!", Verdict::Down),
            ("++-!", Verdict::Down),
            ("!+", Verdict::Down),
            ("!++", Verdict::Up),
        ] {
            assert_eq!(judge(probes), verdict, "{probes}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_up_that_did_not_pass_in_a_row(probes in "[+!-]{0,40}") {
            if judge(&probes) == Verdict::Up {
                let since_last_pass = probes.rsplit("++").next().unwrap_or_default();
                prop_assert!(probes.contains("++"));
                prop_assert!(!since_last_pass.contains("---"));
                prop_assert!(!since_last_pass.contains('!'));
            }
        }
    }
}
