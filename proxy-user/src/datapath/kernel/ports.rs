//! Source ports towards the backends, which the kernel must not give to sockets as well.
//!
//! They lie outside `ip_local_port_range`, or are reserved (`ip_local_reserved_ports`): the kernel
//! then passes them over when it looks for a port itself. That changes nothing for a socket that
//! has such a port already, or binds to it by name. Its packets are its own unless it is connected
//! to a backend, at the very port that the backends serve: if a client's connection to the same
//! backend gets the same port, the answers go to the client, and the socket's connection stalls.

mod reserved;
mod set;
mod sysctl;

use std::{fmt, ops::RangeInclusive};

use anyhow::bail;
use proxy_common::config::PortRange;

pub use self::reserved::{MAP, Reserved};
use self::{set::PortSet, sysctl::EPHEMERAL};
use crate::config::SourcePorts;

const FIRST_UNPRIVILEGED: u16 = 1024;
/// Each port carries one connection to a backend: fewer than this are too few to look no further.
const ENOUGH: u16 = 4_096;
/// Taken from the kernel's own where too few are outside: at least twice as many stay its own.
const TAKEN: u16 = 16_384;

/// Which source ports there are, and what of them the kernel would give to sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub range: PortRange,
    pub to_reserve: PortSet,
}

pub fn choose(wanted: SourcePorts) -> anyhow::Result<Sources> {
    let ephemeral = ephemeral()?;
    let range = match wanted {
        SourcePorts::Range(range) => range,
        SourcePorts::Auto => outside(&ephemeral).unwrap_or_else(|| top(&ephemeral)),
    };
    let to_reserve = PortSet::from(range).within(&ephemeral.into());
    Ok(Sources { range, to_reserve })
}

fn ephemeral() -> anyhow::Result<RangeInclusive<u16>> {
    let text = sysctl::read(EPHEMERAL)?;
    let mut bounds = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else {
        bail!("{EPHEMERAL}: {text:?} is not two ports");
    };
    Ok(low..=high)
}

/// The larger of the two ranges that are left over, if it is large enough.
fn outside(ephemeral: &RangeInclusive<u16>) -> Option<PortRange> {
    let below = PortRange {
        first: FIRST_UNPRIVILEGED,
        len: ephemeral.start().saturating_sub(FIRST_UNPRIVILEGED),
    };
    let above =
        PortRange { first: ephemeral.end().saturating_add(1), len: u16::MAX - ephemeral.end() };
    let larger = if below.len >= above.len { below } else { above };
    (larger.len >= ENOUGH).then_some(larger)
}

/// The last of the kernel's own. Where too few are outside, it has more than three times as many.
fn top(ephemeral: &RangeInclusive<u16>) -> PortRange {
    PortRange { first: ephemeral.end().saturating_sub(TAKEN - 1), len: TAKEN }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { range, to_reserve } = self;
        write!(f, "{}", PortSet::from(*range))?;
        match to_reserve.is_empty() {
            true => write!(f, ", outside net.ipv4.ip_local_port_range"),
            false => write!(f, "; `run` reserves {to_reserve}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_common::addr::Port;

    #[test]
    fn the_kernels_default_leaves_the_ports_below_it() {
        assert_eq!(outside(&(32_768..=60_999)), Some(PortRange { first: 1024, len: 31_744 }));
        assert_eq!(outside(&(1_024..=40_000)), Some(PortRange { first: 40_001, len: 25_535 }));
        assert_eq!(outside(&(1_024..=65_535)), None);
    }

    proptest! {
        #[test]
        fn a_port_that_the_kernel_gives_to_sockets_is_taken_only_from_plenty(
            one: u16, other: u16, n: u32,
        ) {
            let ephemeral = one.min(other)..=one.max(other);
            let (low, high) = (*ephemeral.start(), *ephemeral.end());
            match outside(&ephemeral) {
                Some(range) => {
                    let port = range.nth(n).unwrap();
                    prop_assert!(port.get() >= FIRST_UNPRIVILEGED);
                    prop_assert!(!ephemeral.contains(&port.get()));
                    prop_assert!(!range.contains(Port::new(low)));
                }
                None => {
                    let range = top(&ephemeral);
                    prop_assert!(range.first >= FIRST_UNPRIVILEGED);
                    prop_assert_eq!(range.first + (range.len - 1), high);
                    prop_assert!(high - low >= 3 * TAKEN);
                }
            }
        }
    }
}
