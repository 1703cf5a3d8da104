//! Durations as people write them: a whole number and a unit, such as `500ms`, `2s`, `5m` or `1h`.

use std::{fmt, str::FromStr, time::Duration};

use super::invalid::Invalid;

/// Longest first where one unit ends with another's name.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Longer than nothing, and a day at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// A limit to waiting: nothing at all up to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Patience(Duration);

impl Period {
    pub const fn seconds(seconds: u64) -> Self {
        assert!(seconds > 0);
        Self(Duration::from_secs(seconds))
    }

    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Patience {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match parse(text)? {
            Duration::ZERO => Err(Invalid::new("must be longer than 0")),
            duration => Ok(Self(duration)),
        }
    }
}

impl FromStr for Patience {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text).map(Self)
    }
}

fn parse(text: &str) -> Result<Duration, Invalid> {
    let malformed =
        || Invalid::new("is no duration; write a whole number and a unit: 500ms, 2s, 5m or 1h");
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
        .ok_or_else(malformed)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    millis
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| Invalid::new("is too long; a day (24h) is the most"))
}

fn write(duration: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) = UNITS
        .into_iter()
        .rfind(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor))
        .unwrap_or(("s", 1_000));
    write!(f, "{}{unit}", millis / factor)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_unit_is_understood() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("24h", 86_400_000), ("007s", 7_000)]
        {
            assert_eq!(text.parse::<Period>().unwrap().get(), Duration::from_millis(millis));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-1s", "+1s", "1.5s", "1 s", "1d", "1ss", "٣s"] {
            let refusal = text.parse::<Period>().expect_err(text).to_string();
            assert!(refusal.contains("500ms"), "{text}: {refusal}");
        }
        assert!("25h".parse::<Period>().unwrap_err().to_string().contains("24h"));
        assert!("99999999999999999999h".parse::<Period>().unwrap_err().to_string().contains("24h"));
    }

    #[test]
    fn only_patience_may_be_nothing() {
        assert!("0s".parse::<Period>().unwrap_err().to_string().contains("longer than 0"));
        assert_eq!("0s".parse::<Patience>().unwrap().to_string(), "0s");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Period>();
        }

        #[test]
        fn what_is_written_is_read_back(millis in 1..=86_400_000u64) {
            let period = Period(Duration::from_millis(millis));
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
    }
}
