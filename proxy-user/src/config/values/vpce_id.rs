//! The id of a VPC endpoint, which is the identity of who comes through PrivateLink.

use std::{fmt, str::FromStr};

use crate::config::invalid::Invalid;

const PREFIX: &str = "vpce-";
/// AWS has given out 8 and gives out 17; more leaves room, and keeps a log line and a label short.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=32;

/// `vpce-` and hexadecimal digits in lower case, as AWS writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpceId(Box<str>);

impl VpceId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VpceId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.bytes().all(is_digit));
        match digits {
            Some(digits) if DIGITS.contains(&digits.len()) => Ok(Self(text.into())),
            _ => Err(Invalid::new(
                "is no id of a VPC endpoint; write for example vpce-08d2bf15fac5001c9, in lower \
                 case",
            )),
        }
    }
}

impl fmt::Display for VpceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_vpce_and_hexadecimal_digits_in_lower_case() {
        let longest = format!("vpce-{}", "f".repeat(32));
        for id in ["vpce-08d2bf15fac5001c9", "vpce-0123abcd", &longest] {
            assert_eq!(id.parse::<VpceId>().unwrap().to_string(), id);
        }
        let too_long = format!("vpce-{}", "f".repeat(33));
        for text in [
            "",
            "vpce-",
            "vpce-0123abc",
            "vpce-08D2BF15",
            "vpc-0123abcd",
            "vpce-0123abcg",
            &too_long,
        ] {
            let refusal = text.parse::<VpceId>().unwrap_err().to_string();
            assert!(refusal.contains("vpce-08d2bf15fac5001c9"), "{text}: {refusal}");
        }
    }
}
