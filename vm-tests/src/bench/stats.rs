//! What several measurements of one thing say together, and whether two things differ at all.

use serde::Serialize;

/// Of the same thing, once in each round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub rounds: usize,
}

impl Summary {
    /// What a figure is compared with that is compared with a number.
    pub(crate) const ONE: Self = Self { median: 1.0, min: 1.0, max: 1.0, rounds: 1 };

    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let upper = sorted[half];
        let median =
            if sorted.len().is_multiple_of(2) { (sorted[half - 1] + upper) / 2.0 } else { upper };
        Some(Self { median, min, max, rounds: sorted.len() })
    }

    /// The true median lies between smallest and largest with this probability: it does not only
    /// where all rounds fell on one side of it.
    pub(crate) fn confidence(rounds: usize) -> f64 {
        1.0 - 0.5_f64.powf(rounds as f64 - 1.0)
    }

    pub(crate) fn ratio_to(&self, other: &Self) -> Ratio {
        let apart = self.max < other.min || other.max < self.min;
        Ratio { value: self.median / other.median, is_noise: !apart }
    }
}

/// How many times the other one's median, and whether that may as well be chance: what was
/// measured overlaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub value: f64,
    pub is_noise: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Summary {
        Summary::of(values).expect("values")
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let odd = of(&[9.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max, odd.rounds), (2.0, 1.0, 9.0, 3));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn what_overlaps_is_noise_and_what_lies_apart_is_not() {
        let slow = of(&[10.0, 11.0, 12.0]);
        let fast = of(&[20.0, 22.0, 24.0]);
        assert_eq!(fast.ratio_to(&slow), Ratio { value: 2.0, is_noise: false });
        assert_eq!(slow.ratio_to(&fast), Ratio { value: 0.5, is_noise: false });
        assert!(of(&[12.0, 13.0, 14.0]).ratio_to(&slow).is_noise);
        assert!(slow.ratio_to(&slow).is_noise);
    }

    #[test]
    fn more_rounds_are_surer() {
        assert_eq!(Summary::confidence(3), 0.75);
        assert!(Summary::confidence(7) > 0.98);
    }
}
