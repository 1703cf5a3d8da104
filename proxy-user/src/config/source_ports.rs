//! Which source ports connections to the backends have.

use std::str::FromStr;

use proxy_common::config::PortRange;

use super::invalid::Invalid;

const FIRST_UNPRIVILEGED: u16 = 1024;
/// A typing error more likely than a wish below it: each port carries one connection to a backend.
const FEWEST: u16 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePorts {
    /// As the host leaves them.
    #[default]
    Auto,
    Range(PortRange),
}

impl FromStr for SourcePorts {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let bounds = text.split_once('-');
        let bounds =
            bounds.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let Some((first, last)) = bounds else {
            return Err(Invalid::new("is no FIRST-LAST; write auto, or for example 20000-29999"));
        };
        range(first, last).map(Self::Range)
    }
}

fn range(first: u16, last: u16) -> Result<PortRange, Invalid> {
    if first < FIRST_UNPRIVILEGED {
        let wrong = format!(
            "begins below {FIRST_UNPRIVILEGED}, where services listen; \
             begin at {FIRST_UNPRIVILEGED} or above"
        );
        return Err(Invalid::new(wrong));
    }
    let len = last.checked_sub(first).map_or(0, |more| more + 1);
    if len < FEWEST {
        let wrong = format!(
            "has {len} ports, and each carries one connection to a backend; \
                             give {FEWEST} or more"
        );
        return Err(Invalid::new(wrong));
    }
    Ok(PortRange { first, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_has_both_its_ends() {
        let parsed = |text: &str| text.parse::<SourcePorts>().unwrap();
        assert_eq!(parsed("auto"), SourcePorts::Auto);
        let whole = PortRange { first: 1024, len: 64_512 };
        assert_eq!(parsed("1024-65535"), SourcePorts::Range(whole));
        let least = PortRange { first: 20_000, len: 64 };
        assert_eq!(parsed("20000-20063"), SourcePorts::Range(least));
    }

    #[test]
    fn what_is_refused_is_told_what_would_be_right() {
        for (text, remedy) in [
            ("1023-9999", "1024 or above"),
            ("20000-20062", "64 or more"),
            ("30000-20000", "64 or more"),
            ("20000", "20000-29999"),
            ("20000-70000", "20000-29999"),
            ("20000-", "20000-29999"),
            ("", "write auto"),
        ] {
            let refusal = text.parse::<SourcePorts>().expect_err(text).to_string();
            assert!(refusal.contains(remedy), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<SourcePorts>();
        }

        #[test]
        fn every_range_is_taken_as_it_is_or_refused(first: u16, last: u16) {
            let parsed = format!("{first}-{last}").parse::<SourcePorts>();
            let is_right = first >= 1024 && i32::from(last) - i32::from(first) >= 63;
            prop_assert_eq!(parsed.is_ok(), is_right);
            if let Ok(SourcePorts::Range(range)) = parsed {
                prop_assert_eq!((range.first, range.first + (range.len - 1)), (first, last));
            }
        }
    }
}
