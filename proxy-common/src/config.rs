//! What the programs must know about the host they sit on.

use crate::{
    addr::{Addr, Port},
    event::Change,
};

/// Addresses of the interface that clients may connect to.
pub const MAX_LOCALS: usize = 8;

/// Which of [`Config::locals`]: flows are keyed by it, so a place keeps its address for as long as
/// flows may use it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LocalId(pub u16);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// [`Addr::UNSPECIFIED`] where a place is free.
    pub locals: [Addr; MAX_LOCALS],
    /// The interface to send from; the one that the program is attached to.
    pub ifindex: u32,
    /// The port that clients connect to.
    pub listen: Port,
    /// Source ports towards the backends.
    pub sources: PortRange,
    /// The largest segment that a SYN may offer, in bytes of TCP payload; 0 leaves it as it is.
    pub mss_clamp: u16,
    pub events: Events,
    pub opens: Opens,
    /// `SO_MARK` of the agent's own sockets, the listener's too; 0 if they have none.
    pub mark: u32,
}

/// Who takes a client's SYN.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opens {
    /// The program: it makes the entries of a new connection itself.
    #[default]
    Program = 0,
    /// The listener: what it has accepted can be handed over.
    Listener = 1,
}

/// Of which connections the agent wants to hear.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    #[default]
    None = 0,
    /// Only how they ended.
    Closed = 1,
    All = 2,
}

impl Events {
    #[inline(always)]
    pub const fn include(self, change: Change) -> bool {
        match self {
            // The agent must close its sockets, whatever it writes into logs.
            _ if matches!(change, Change::HandedOver) => true,
            Self::None => false,
            Self::Closed => !matches!(change, Change::Opened),
            Self::All => true,
        }
    }
}

impl Config {
    /// The address in this place.
    #[inline(always)]
    pub const fn address(&self, local: LocalId) -> &Addr {
        // A remainder, because nothing in the programs may panic.
        &self.locals[local.0 as usize % MAX_LOCALS]
    }

    #[inline(always)]
    pub fn local(&self, address: Addr) -> Option<LocalId> {
        // The first place is taken by nearly every packet; the loop is for the others.
        if self.locals[0] == address {
            return Some(LocalId(0));
        }
        let mut id = 1;
        while id < MAX_LOCALS {
            if self.locals[id] == address {
                return Some(LocalId(id as u16));
            }
            id += 1;
        }
        None
    }
}

/// Ports from `first` on, `len` of them, in host byte order. A range without a port is empty.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub len: u16,
}

impl PortRange {
    #[inline(always)]
    pub const fn contains(self, port: Port) -> bool {
        port.get().wrapping_sub(self.first) < self.len
    }

    /// The port at a place in the range, counted round and round.
    #[inline(always)]
    pub const fn nth(self, n: u32) -> Option<Port> {
        if self.len == 0 {
            return None;
        }
        Some(Port::new(self.first.wrapping_add((n % self.len as u32) as u16)))
    }
}

/// Which of the two [`crate::backend::BackendSet`]s is in force: 0 or 1.
pub type ActiveSet = u32;

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers without padding. The enums are written only by the agent, and
    // pinned maps of another layout version are never opened, so their bytes are always variants.
    unsafe impl aya::Pod for super::Config {}
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    const _: () = assert!(size_of::<Config>() == MAX_LOCALS * 16 + 24);

    #[test]
    fn a_local_address_is_found_in_its_place_and_no_other_is() {
        let [a, b, c] = [1, 2, 3].map(|last| Addr::from(Ipv4Addr::new(10, 0, 10, last)));
        let mut config = Config::default();
        config.locals[0] = a;
        config.locals[MAX_LOCALS - 1] = b;
        assert_eq!(config.local(a), Some(LocalId(0)));
        assert_eq!(config.local(b), Some(LocalId(MAX_LOCALS as u16 - 1)));
        assert_eq!(config.local(c), None);
    }

    proptest! {
        #[test]
        fn every_place_of_a_range_is_in_it(first in 1..60_000u16, len in 1..5_000u16, n: u32) {
            let range = PortRange { first, len };
            prop_assert!(range.contains(range.nth(n).unwrap()));
            prop_assert!(!range.contains(Port::new(first - 1)));
            prop_assert!(!range.contains(Port::new(first + len)));
        }
    }

    #[test]
    fn an_empty_range_has_no_port() {
        assert_eq!(PortRange::default().nth(3), None);
        assert!(!PortRange::default().contains(Port::new(0)));
    }
}
