//! Why the programs did not send a packet, as they count it.

use std::mem::replace;

use aya::maps::{Map, MapData, PerCpuArray};
use proxy_common::reason::Reason;

pub(super) struct Reasons {
    counts: PerCpuArray<MapData, u64>,
    /// Of each reason, what was counted when somebody last asked.
    known: Vec<u64>,
}

impl Reasons {
    pub(super) fn of(map: Map) -> anyhow::Result<Self> {
        Ok(Self { counts: map.try_into()?, known: vec![0; Reason::ALL.len()] })
    }

    /// Those counted since somebody last asked; `None` where there are none.
    pub(super) fn news(&mut self) -> anyhow::Result<Option<String>> {
        let mut counts: Vec<u64> = Vec::new();
        for reason in Reason::ALL {
            counts.push(self.counts.get(&(*reason as u32), 0)?.iter().sum());
        }
        Ok(news(&replace(&mut self.known, counts.clone()), &counts))
    }
}

/// In the order of [`Reason::ALL`].
fn news(before: &[u64], after: &[u64]) -> Option<String> {
    let counts = before.iter().zip(after).map(|(before, after)| after - before);
    let counted = Reason::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
    let words: Vec<_> = counted.map(|(reason, n)| format!("{n} × {}", reason.as_str())).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_is_no_news() {
        let mut before = vec![0; Reason::ALL.len()];
        before[Reason::NotOurs as usize] = 4;
        let mut after = before.clone();
        assert_eq!(news(&before, &after), None);
        after[Reason::NotOurs as usize] += 2;
        after[Reason::NoExit as usize] += 250;
        assert_eq!(news(&before, &after).as_deref(), Some("2 × not_ours, 250 × no_exit"));
    }
}
