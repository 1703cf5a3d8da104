//! What the log shows.

use std::str::FromStr;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::invalid::Invalid;

/// A level, or a filter in `tracing`'s syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Parsed once more, for it cannot be cloned.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl FromStr for LogFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let right =
            "write error, warn, info, debug, trace or a filter such as info,proxy_user=debug";
        if let Some(word) = text.split(',').find(|part| is_misspelt_level(part)) {
            return Err(Invalid::new(format!("{word:?} is no level; {right}")));
        }
        // tracing-subscriber 0.3.23 cuts the text at places that it counted without the blanks
        // around it, and panics if such a place is inside a character.
        if !text.is_ascii() {
            return Err(Invalid::new(format!("it is not ASCII; {right}")));
        }
        let text = text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        let filter = EnvFilter::builder().parse(&text);
        filter.map_err(|error| Invalid::new(format!("{error}; {right}")))?;
        Ok(Self(text))
    }
}

/// To the filter a lone word that is no level names a target, and silences all others.
fn is_misspelt_level(part: &str) -> bool {
    part.trim().is_empty()
        || !part.contains(['=', '[']) && part.trim().parse::<LevelFilter>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_misspelt_level_silences_nothing() {
        for filter in ["proxy_user=loud", "wran", "info,proxy_user", "", "info,,debug"] {
            assert!(filter.parse::<LogFilter>().is_err(), "{filter}");
        }
        for filter in ["warn", "OFF", "info,proxy_user=trace", "warn,proxy_user[span]=debug"] {
            assert!(filter.parse::<LogFilter>().is_ok(), "{filter}");
        }
    }

    #[test]
    fn blanks_around_a_part_mean_nothing_and_a_character_is_never_cut() {
        let filter: LogFilter = " info, proxy_user=debug ".parse().unwrap();
        assert_eq!(filter, LogFilter("info,proxy_user=debug".into()));
        let cut = "\u{2004}r=\u{1ee79}4%";
        assert!(cut.parse::<LogFilter>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<LogFilter>();
        }
    }
}
