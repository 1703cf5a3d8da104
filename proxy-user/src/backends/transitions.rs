//! How often backends have gone from one state to another, in the life of this agent.

use std::collections::BTreeMap;

use super::snapshot::Change;

#[derive(Clone, Debug, Default)]
pub struct Transitions(BTreeMap<(&'static str, &'static str), u64>);

impl Transitions {
    pub fn count(&mut self, change: &Change) {
        *self.0.entry((change.from_name(), change.to_name())).or_default() += 1;
    }

    /// From, to, how often; `new` and `gone` are states here.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.0.iter().map(|((from, to), count)| (*from, *to, *count))
    }
}
