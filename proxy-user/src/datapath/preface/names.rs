//! Which of several server names a client means.

use std::collections::HashMap;

use super::hello::ServerName;
use crate::config::SniPattern;

/// Something for each pattern.
#[derive(Clone, Debug)]
pub struct SniTable<T> {
    exact: HashMap<String, T>,
    /// By what stands behind the star and its dot.
    below: HashMap<String, T>,
}

impl<T> SniTable<T> {
    /// # Errors
    /// The first pattern that stands there twice.
    pub fn new(entries: impl IntoIterator<Item = (SniPattern, T)>) -> Result<Self, SniPattern> {
        let mut table = Self { exact: HashMap::new(), below: HashMap::new() };
        for (pattern, value) in entries {
            let (names, key) = match &pattern {
                SniPattern::Exact(name) => (&mut table.exact, name),
                SniPattern::Below(parent) => (&mut table.below, parent),
            };
            if names.insert(key.as_str().to_owned(), value).is_some() {
                return Err(pattern);
            }
        }
        Ok(table)
    }

    /// A pattern that is the name itself goes before one with a star.
    pub fn find(&self, name: &ServerName) -> Option<&T> {
        let below = || {
            let (_label, parent) = name.as_str().split_once('.')?;
            self.below.get(parent)
        };
        self.exact.get(name.as_str()).or_else(below)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::hello::tests::name, *};

    fn table(patterns: &[&'static str]) -> Result<SniTable<&'static str>, SniPattern> {
        SniTable::new(patterns.iter().map(|text| (text.parse().unwrap(), *text)))
    }

    #[test]
    fn an_exact_name_goes_before_a_star_which_stands_for_one_label() {
        let table = table(&["*.example.com", "API.example.com", "*.a.example.com"]).unwrap();
        for (asked, found) in [
            ("api.example.com", Some("API.example.com")),
            ("Other.Example.COM", Some("*.example.com")),
            ("x.a.example.com", Some("*.a.example.com")),
            ("a.example.com", Some("*.example.com")),
            ("x.b.example.com", None),
            ("example.com", None),
            ("com", None),
            ("api.example.org", None),
        ] {
            assert_eq!(table.find(&name(asked)).copied(), found, "{asked}");
        }
    }

    #[test]
    fn a_pattern_that_stands_there_twice_is_named() {
        let twice = table(&["*.example.com", "example.com", "*.EXAMPLE.com"]).unwrap_err();
        assert_eq!(twice.to_string(), "*.example.com");
    }
}
