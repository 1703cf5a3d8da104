//! Ways out that were found a moment ago. To ask the kernel for one costs more than all else that XDP
//! does to a packet, and its answer is the same for all packets to one address.

use proxy_common::{
    addr::Addr,
    config::LocalId,
    reason::Reason,
    stamp::{Age, Stamp},
};

use crate::{
    environment::Environment,
    packet::{Exit, Hop, Leaving},
};

/// How long an answer holds: so much later than the kernel does XDP learn of another route or
/// neighbour. The kernel itself takes a neighbour for reachable for 15 seconds and more
/// (`base_reachable_time` of arp(7)).
const FRESH: Age = Age::from_millis(100);

/// Each CPU has so many places. Two addresses that share one are asked for anew in turn.
pub const PLACES: u32 = 256;

/// The kernel's answer, in a place of the table. Zeros are no answer, for no packet fits into them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    destination: Addr,
    found: Stamp,
    hop: Hop,
    /// Stands for the source, on which routes may depend, too.
    local: LocalId,
}

impl Known {
    pub const NOTHING: Self = Self {
        destination: Addr::UNSPECIFIED,
        found: Stamp::ZERO,
        hop: Hop { source: [0; 3], destination: [0; 3], largest: 0 },
        local: LocalId(0),
    };

    #[inline(always)]
    fn is_for(&self, exit: &Exit<'_>, now: Stamp) -> bool {
        self.destination == *exit.destination
            && self.local == exit.local
            && exit.bytes <= u32::from(self.hop.largest)
            && now.since(self.found) < FRESH
    }
}

/// The way out of a packet that has not changed yet.
#[inline(always)]
pub fn find<P: Leaving, E: Environment>(
    packet: &mut P,
    exit: &Exit<'_>,
    now: Stamp,
    environment: &E,
) -> Result<Hop, Reason> {
    let place = place(*exit.destination);
    if let Some(known) = environment.known_exit(place)
        && known.is_for(exit, now)
    {
        return Ok(known.hop);
    }
    let hop = packet.find_exit(exit)?;
    let (destination, local) = (*exit.destination, exit.local);
    environment.keep_exit(place, &Known { destination, found: now, hop, local });
    Ok(hop)
}

/// Multiplies by 2^32 divided by the golden ratio (Knuth, section 6.4): neighbours come to lie apart.
#[inline(always)]
fn place(destination: Addr) -> u32 {
    const BITS: u32 = PLACES.ilog2();
    let [a, b, c, d] = destination.v6_words();
    (a ^ b ^ c ^ d).wrapping_mul(0x9e37_79b9) >> (u32::BITS - BITS)
}

#[cfg(test)]
mod tests;
