//! The largest segment that a SYN may offer.

use std::{fmt, num::NonZeroU16, str::FromStr};

use crate::config::invalid::Invalid;

/// What holds over IPv4 where a SYN offers nothing (RFC 9293, section 3.7.1): no sender needs to
/// go below. Over IPv6 that is 1,220 bytes, and a path that bears fewer is none.
const SMALLEST: u16 = 536;
/// An IPv4 packet of 65,535 bytes, less the headers of IP and TCP.
const LARGEST: u16 = 65_495;

/// In bytes of TCP payload; none where offers are left as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MssClamp(Option<NonZeroU16>);

impl MssClamp {
    pub const fn get(self) -> Option<NonZeroU16> {
        self.0
    }
}

impl FromStr for MssClamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "off" {
            return Ok(Self(None));
        }
        let bytes = text.parse().ok().filter(|bytes| (SMALLEST..=LARGEST).contains(bytes));
        bytes.and_then(NonZeroU16::new).map(|bytes| Self(Some(bytes))).ok_or_else(|| {
            Invalid::new(format!(
                "is neither off nor a number of bytes from {SMALLEST} to {LARGEST}; for both \
                 families it is the path's MTU less 60"
            ))
        })
    }
}

impl fmt::Display for MssClamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => bytes.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_the_bounds_themselves_are_taken_and_nothing_else() {
        for text in ["off", "536", "1440", "65495"] {
            assert_eq!(text.parse::<MssClamp>().unwrap().to_string(), text);
        }
        for text in ["535", "65496", "0", "-1", "65536", "on", "OFF", ""] {
            let refusal = text.parse::<MssClamp>().unwrap_err().to_string();
            assert!(refusal.contains("from 536 to 65495"), "{text}: {refusal}");
        }
    }
}
