//! What a run can be narrowed to.

use clap::{ValueEnum, builder::PossibleValue};

use super::contender::Contender;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The eBPF programs by themselves, without any load.
    Programs,
    Contender(Contender),
}

const ALL: [Part; 1 + Contender::ALL.len()] = {
    let mut all = [Part::Programs; 1 + Contender::ALL.len()];
    let mut at = 0;
    while at < Contender::ALL.len() {
        all[1 + at] = Part::Contender(Contender::ALL[at]);
        at += 1;
    }
    all
};

impl ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Programs => {
                Some(PossibleValue::new("programs").help("The eBPF programs by themselves"))
            }
            Self::Contender(contender) => contender.to_possible_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Part> {
        Part::from_str(name, false).ok()
    }

    #[test]
    fn programs_are_asked_for_beside_every_contender() {
        assert_eq!(named("programs"), Some(Part::Programs));
        for contender in Contender::ALL {
            assert_eq!(named(&contender.to_string()), Some(Part::Contender(contender)));
        }
        assert_eq!(named("nobody"), None);
    }
}
