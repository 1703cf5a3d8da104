//! What is known of a connection that user space has accepted, until the program can take it over:
//! the record that the program keeps from the moment on at which the agent asks for it, and what the
//! agent adds to that. Most connections end before they are worth one.
//!
//! Both are found by the key of the client's packets, from either direction
//! ([`crate::flow::Flow::twin`]). All numbers are in host byte order.

use crate::{addr::Family, backend::bpf_spin_lock, stamp::Stamp};

/// Tells a connection from an earlier one between the same ends, so that what is left of that never
/// meets this one. Drawn by the agent.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrackId(pub u32);

impl TrackId {
    /// Nobody's.
    pub const NONE: Self = Self(0);
}

/// Who carries a connection's bytes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The agent, between its two sockets.
    #[default]
    Relayed = 0,
    /// The program; there is no way back.
    HandedOver = 1,
}

/// Made by the agent, and from then on written by the program alone, under the lock.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    pub lock: bpf_spin_lock,
    pub id: TrackId,
    pub stage: Stage,
    /// When the agent accepted it.
    pub began: Stamp,
    pub client: Leg,
    pub backend: Leg,
    /// What becomes of the numbers of the client's packets, once it is handed over.
    pub to_backend: Shift,
    pub to_client: Shift,
}

impl Track {
    pub const EMPTY: Self = Self {
        lock: bpf_spin_lock::UNLOCKED,
        id: TrackId::NONE,
        stage: Stage::Relayed,
        began: Stamp::ZERO,
        client: Leg::EMPTY,
        backend: Leg::EMPTY,
        to_backend: Shift::NONE,
        to_client: Shift::NONE,
    };
}

/// One of the connection's two ends, and the agent's socket that faces it, as their packets tell since
/// there is a record. What was before it, the sockets know ([`Arm`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The sequence number behind the last that has come from this end.
    pub end: u32,
    /// The newest acknowledgement that has come from this end.
    pub acked: u32,
    /// Up to where this end takes data: its acknowledgement and its window.
    pub edge: u32,
    /// Up to where our socket has told this end that it takes data.
    pub promised: u32,
    /// The newest timestamp that has come from this end (RFC 7323, section 3).
    pub tsval: u32,
    /// The newest timestamp that our socket has sent to this end.
    pub own_tsval: u32,
    /// What their SYNs have offered, as the agent's socket knows it.
    pub peer: Offer,
    pub own: Offer,
    pub flags: u32,
}

impl Leg {
    pub const EMPTY: Self = Self {
        end: 0,
        acked: 0,
        edge: 0,
        promised: 0,
        tsval: 0,
        own_tsval: 0,
        peer: Offer::NONE,
        own: Offer::NONE,
        flags: 0,
    };

    /// `end` means something.
    pub const COUNTED: u32 = 1;
    /// `acked` and `edge` mean something.
    pub const ACKED: u32 = 1 << 1;
    /// `promised` means something.
    pub const PROMISED: u32 = 1 << 2;
    /// `tsval` means something.
    pub const STAMPED: u32 = 1 << 3;
    /// `own_tsval` means something.
    pub const OWN_STAMPED: u32 = 1 << 4;
    /// A FIN or a RST has passed, either way.
    pub const OVER: u32 = 1 << 5;

    /// All of these.
    #[inline(always)]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Do both sides scale their windows? One that does not offer it forbids it to the other
    /// (RFC 7323, section 2.2).
    #[inline(always)]
    const fn scales(&self) -> bool {
        self.peer.has(Offer::SCALE) && self.own.has(Offer::SCALE)
    }

    /// By how many bits windows are shifted that this end sends.
    #[inline(always)]
    pub const fn peer_scale(&self) -> u8 {
        if self.scales() { self.peer.scale } else { 0 }
    }

    /// By how many bits this end shifts the windows that are sent to it.
    #[inline(always)]
    pub const fn own_scale(&self) -> u8 {
        if self.scales() { self.own.scale } else { 0 }
    }

    /// Of [`Offer::SACK`] and [`Offer::TIMESTAMPS`] what both sides have offered.
    #[inline(always)]
    pub const fn agreed(&self) -> u8 {
        self.peer.flags & self.own.flags & (Offer::SACK | Offer::TIMESTAMPS)
    }

    /// May the ends of these two legs talk to each other? Their options are the same, and neither
    /// was told of larger segments than the other takes.
    #[inline(always)]
    pub const fn suits(&self, other: &Self, family: Family) -> bool {
        self.agreed() == other.agreed()
            && self.own.segment(family) <= other.peer.segment(family)
            && other.own.segment(family) <= self.peer.segment(family)
    }
}

/// What a SYN offers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The largest segment, in bytes of payload; 0 if it does not say.
    pub mss: u16,
    /// At most 14 (RFC 7323, section 2.3).
    pub scale: u8,
    pub flags: u8,
}

impl Offer {
    pub const NONE: Self = Self { mss: 0, scale: 0, flags: 0 };
    pub const SCALE: u8 = 1;
    pub const SACK: u8 = 1 << 1;
    pub const TIMESTAMPS: u8 = 1 << 2;

    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The largest that may be sent to it (RFC 9293, section 3.7.1).
    #[inline(always)]
    const fn segment(self, family: Family) -> u16 {
        match (self.mss, family) {
            (0, Family::V4) => 536,
            (0, Family::V6) => 1220,
            (mss, _) => mss,
        }
    }
}

/// What is added to the numbers of the packets of one direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    pub sequence: u32,
    /// To the edges of SACK blocks too (RFC 2018).
    pub acknowledgement: u32,
    pub tsval: u32,
    pub tsecr: u32,
    /// By how many bits the sender shifts its windows, and by how many the receiver takes them to be.
    pub scale_from: u8,
    pub scale_to: u8,
    pub padding: u16,
}

impl Shift {
    pub const NONE: Self = Self {
        sequence: 0,
        acknowledgement: 0,
        tsval: 0,
        tsecr: 0,
        scale_from: 0,
        scale_to: 0,
        padding: 0,
    };
}

/// Written by the agent whenever it holds no byte of the connection: with it, and not before, the
/// program may take the connection over.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The record's.
    pub id: TrackId,
    /// What is added to the client's sequence numbers for the backend: constant for as long as
    /// every byte is passed on.
    pub to_backend: u32,
    pub to_client: u32,
    pub client: Seed,
    pub backend: Seed,
}

/// What a socket knows of the end that it faces.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// The sequence number that the socket expects next.
    pub end: u32,
    /// The oldest sequence number of ours that this end has not acknowledged.
    pub acked: u32,
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers without padding. The enum is written only by programs of this
    // layout version, since maps of another one are never opened: it is always a variant.
    unsafe impl aya::Pod for super::Track {}
    // SAFETY: `repr(C)` over integers without padding: any bytes are a value.
    unsafe impl aya::Pod for super::Arm {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<Leg>() == 36 && size_of::<Shift>() == 20);
    const _: () = assert!(size_of::<Track>() == 128 && size_of::<Arm>() == 28);

    fn leg(peer: Offer, own: Offer) -> Leg {
        Leg { peer, own, ..Leg::EMPTY }
    }

    const ALL: u8 = Offer::SCALE | Offer::SACK | Offer::TIMESTAMPS;

    #[test]
    fn windows_are_scaled_only_where_both_sides_offer_it() {
        let scaled = Offer { mss: 1460, scale: 7, flags: ALL };
        let plain = Offer { flags: 0, ..scaled };
        let both = leg(scaled, Offer { scale: 3, ..scaled });
        assert_eq!((both.peer_scale(), both.own_scale()), (7, 3));
        for leg in [leg(scaled, plain), leg(plain, scaled)] {
            assert_eq!((leg.peer_scale(), leg.own_scale()), (0, 0));
        }
    }

    #[test]
    fn legs_suit_each_other_with_the_same_options_and_segments_that_both_take() {
        let offer = |mss, flags| Offer { mss, scale: 7, flags };
        let good = leg(offer(1460, ALL), offer(1460, ALL));
        assert!(good.suits(&good, Family::V4));
        for missing in [Offer::SACK, Offer::TIMESTAMPS] {
            let without = leg(offer(1460, ALL & !missing), offer(1460, ALL));
            assert!(!good.suits(&without, Family::V4) && !without.suits(&good, Family::V4));
        }
        let narrow = leg(offer(1400, ALL), offer(1460, ALL));
        assert!(!good.suits(&narrow, Family::V4), "1460 were promised, 1400 are taken");
        let clamped = leg(offer(1460, ALL), offer(1400, ALL));
        assert!(clamped.suits(&narrow, Family::V4));
        let silent = leg(offer(0, ALL), offer(1460, ALL));
        assert!(!good.suits(&silent, Family::V4), "536 hold where nothing is said");
    }
}
