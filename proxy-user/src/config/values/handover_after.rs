//! When a relayed connection is handed over to the packet path.

use std::{fmt, str::FromStr, time::Duration};

use crate::config::{invalid::Invalid, period::Patience};

/// As soon as it has moved so many payload bytes, both ways together, or is so old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverAfter {
    pub bytes: u64,
    pub age: Duration,
}

impl Default for HandoverAfter {
    /// More than a TLS handshake with a small answer, which ends better where it is; and soon after
    /// such a connection would have ended.
    fn default() -> Self {
        Self { bytes: 32 * 1024, age: Duration::from_millis(100) }
    }
}

impl FromStr for HandoverAfter {
    type Err = Invalid;

    /// Bytes, a duration, or both: what is left out stays at its default.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (mut bytes, mut age) = (None, None);
        for part in text.split(',') {
            let is_new = if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
                bytes.replace(part.parse::<u64>().map_err(|_| malformed())?).is_none()
            } else {
                let parsed: Patience = part.parse().map_err(|_| malformed())?;
                age.replace(parsed.get()).is_none()
            };
            if !is_new {
                return Err(malformed());
            }
        }
        let default = Self::default();
        Ok(Self { bytes: bytes.unwrap_or(default.bytes), age: age.unwrap_or(default.age) })
    }
}

fn malformed() -> Invalid {
    Invalid::new(
        "is neither a number of bytes nor a duration; write for example 65536, 200ms or 65536,200ms",
    )
}

impl fmt::Display for HandoverAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}ms", self.bytes, self.age.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_a_duration_or_both_are_taken_and_nothing_else() {
        let HandoverAfter { bytes, age } = HandoverAfter::default();
        let milliseconds = Duration::from_millis;
        for (text, expected) in [
            ("0", HandoverAfter { bytes: 0, age }),
            ("4096", HandoverAfter { bytes: 4_096, age }),
            ("200ms", HandoverAfter { bytes, age: milliseconds(200) }),
            ("2s,100", HandoverAfter { bytes: 100, age: milliseconds(2_000) }),
        ] {
            assert_eq!(text.parse::<HandoverAfter>().unwrap(), expected, "{text}");
        }
        let shown = HandoverAfter::default().to_string();
        assert_eq!(shown.parse::<HandoverAfter>().unwrap(), HandoverAfter::default());
        for text in ["", ",", "1,2", "1s,2s", "-1", "1k", "99999999999999999999", "1s,"] {
            let refusal = text.parse::<HandoverAfter>().unwrap_err().to_string();
            assert!(refusal.contains("65536,200ms"), "{text}: {refusal}");
        }
    }
}
