//! How long eBPF programs run, as the kernel says while it is asked to look at its clock before and
//! after each run (BPF_ENABLE_STATS).

use std::{collections::BTreeSet, time::Duration};

use aya::programs::loaded_programs;

/// By the kernel's numbers.
pub(crate) struct Programs(BTreeSet<u32>);

/// Of all of them, since they were loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub time: Duration,
    pub count: u64,
}

impl Programs {
    /// All that are loaded, whoever has loaded them.
    pub(crate) fn present() -> anyhow::Result<Self> {
        loaded_programs().map(|program| Ok(program?.id())).collect::<Result<_, _>>().map(Self)
    }

    /// What others were there already.
    pub(crate) fn without(self, others: &Self) -> Self {
        Self(&self.0 - &others.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn runs(&self) -> anyhow::Result<Runs> {
        let mut runs = Runs::default();
        for program in loaded_programs() {
            let program = program?;
            if self.0.contains(&program.id()) {
                runs.time += program.run_time();
                runs.count += program.run_count();
            }
        }
        Ok(runs)
    }
}

impl Runs {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            time: self.time.saturating_sub(earlier.time),
            count: self.count.saturating_sub(earlier.count),
        }
    }

    /// Seconds.
    pub(crate) fn each(self) -> Option<f64> {
        (self.count > 0).then(|| self.time.as_secs_f64() / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_run_is_that_of_all_by_their_number() {
        let earlier = Runs { time: Duration::from_nanos(500), count: 5 };
        let later = Runs { time: Duration::from_nanos(900), count: 9 };
        let each = later.since(earlier).each().expect("four runs");
        assert!((each - 100e-9).abs() < 1e-12, "{each}");
        assert_eq!(later.since(later).each(), None);
    }

    #[test]
    fn those_that_were_there_already_are_not_the_contenders() {
        let others = Programs([1, 2].into());
        assert_eq!(Programs([1, 2, 7].into()).without(&others).0, [7].into());
    }
}
