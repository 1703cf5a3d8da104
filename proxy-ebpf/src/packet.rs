//! The seam between the core and the kernel's two kinds of packet.

use proxy_common::{
    addr::{Addr, Family},
    config::LocalId,
    reason::Reason,
};

use crate::checksum::Change;

#[cfg(target_arch = "bpf")]
pub mod tc;
#[cfg(target_arch = "bpf")]
pub mod xdp;

pub trait Packet {
    /// The frame's first bytes as `H`, to be read and written; `None` if it is shorter.
    fn head<H: Header>(&mut self) -> Option<&mut H>;

    /// Bytes of the whole frame, with what lies outside its linear part.
    fn frame_len(&self) -> u32;

    /// Brings the checksum of TCP or ICMP at `offset` up to date, after the headers were rewritten.
    ///
    /// The two changes are kept apart because a sender that leaves the checksum to its network
    /// card has so far only put in the pseudo header (`CHECKSUM_PARTIAL`).
    fn patch_checksum(
        &mut self,
        offset: usize,
        pseudo_header: Change,
        message: Change,
    ) -> Result<(), PatchError>;
}

/// A packet for which nobody else finds the way out, once it has been translated.
pub trait Leaving: Packet {
    /// Asked before anything of the packet has changed.
    fn find_exit(&mut self, exit: &Exit<'_>) -> Result<Hop, Reason>;
}

/// For a hook that every packet may come by: it reaches what lies behind the headers, too.
pub trait Behind: Packet {
    /// Some bytes of the frame; `None` if they are not all in it.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// Leaves checksums as they are.
    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Result<(), PatchError>;
}

/// What a packet will be, as far as its route depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit<'a> {
    pub family: Family,
    /// The place of its source among the host's own addresses.
    pub local: LocalId,
    pub source: &'a Addr,
    pub destination: &'a Addr,
    /// Of the IP packet.
    pub bytes: u32,
    /// The interface that it came in by, and must leave by.
    pub ifindex: u32,
}

/// A way out: the Ethernet addresses of its two ends, as they lie in a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    pub source: [u16; 3],
    pub destination: [u16; 3],
    /// Bytes of the largest IP packet that it is known to take.
    pub largest: u16,
}

/// The kernel refused to change the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchError;

/// A layout that may be laid over the first bytes of a frame.
///
/// # Safety
///
/// Plain integers without padding, of an alignment of at most two: any bytes are a value, and
/// every frame begins at an even address.
#[allow(unsafe_code, reason = "the promise that makes `Packet::head` sound")]
pub unsafe trait Header: Sized {}
