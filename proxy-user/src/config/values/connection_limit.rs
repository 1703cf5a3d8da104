//! How many connections at once.

use std::{fmt, num::NonZeroU32, str::FromStr};

use crate::config::invalid::Invalid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimit(NonZeroU32);

impl ConnectionLimit {
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for ConnectionLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| {
            Invalid::new(format!("is no number of connections from 1 to {}", u32::MAX))
        })
    }
}

impl fmt::Display for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_above_zero_is_a_limit() {
        assert_eq!("1".parse::<ConnectionLimit>().unwrap().get(), 1);
        for text in ["0", "-1", "", "many", "4294967296", "1.5"] {
            let refusal = text.parse::<ConnectionLimit>().expect_err(text).to_string();
            assert!(refusal.contains("from 1 to 4294967295"), "{text}: {refusal}");
        }
    }
}
