//! One direction of a spliced connection: what its program and the agent tell each other.
//!
//! Each word has one writer: the program owns [`Splice`], the agent owns [`Ledger`]. The maps are
//! not pinned, so these are no part of the layout: they end with the agent.

/// Names a socket for its whole life (`SO_COOKIE`, `bpf_get_socket_cookie`).
pub type Cookie = u64;

/// Bytes waiting for user space from which on segments with more are lost on purpose, as on a
/// narrow link: the sender sends them again. Usually the receive buffer is full long before.
pub const HOLD_LIMIT: u64 = 1_280 * 1024;

/// Most bytes that may wait for user space at all: a socket that is busy has accepted some more
/// segments before it comes to look at them.
pub const PASS_LIMIT: u64 = 2_900 * 1024;

/// The program's account of what has come from one socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Bytes handed to the other socket in the kernel.
    pub redirected: u64,
    /// Bytes left to user space.
    pub passed: u64,
    /// Bytes that came a second time, and went nowhere.
    pub trimmed: u64,
    /// Memory of what was redirected since the other socket had last taken everything.
    pub burst: u32,
    /// The sequence number that has not been seen yet.
    pub next: u32,
    /// Of the other socket, when the first byte was redirected to it.
    pub base: u32,
    pub stage: Stage,
    pub fault: Fault,
    pub padding: u32,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    New = 0,
    /// `next` holds.
    Seen = 1,
    /// `base` too.
    Redirecting = 2,
}

/// Why nothing that the program handed over since can be relied on: the agent resets both ends.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None = 0,
    /// Bytes are missing.
    Gap = 1,
    /// More than [`PASS_LIMIT`] waits for user space.
    Flood = 2,
    /// Bytes that came twice cannot be cut off.
    Trim = 3,
    /// The other socket has left the map.
    Lost = 4,
}

impl Fault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gap => "bytes are missing",
            Self::Flood => "more bytes wait than may",
            Self::Trim => "bytes that came twice cannot be cut off",
            Self::Lost => "the other socket is gone",
        }
    }
}

/// The agent's account of the same direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Of the bytes passed, those that the other socket has taken.
    pub carried: u64,
    /// Not 0: user space carries this direction from now on.
    pub for_good: u64,
}

/// Protections that a test switches off, to see that the self-test notices. 0 in the agent.
pub mod weakness {
    pub const KEEPS_OVERLAP: u32 = 1;
    pub const KEEPS_EMPTY: u32 = 2;
    pub const NO_LIMIT: u32 = 4;
    pub const NO_ORDER: u32 = 8;
    pub const NO_HOLD: u32 = 64;
    /// The agent's: what had come before the sockets were in the map is not asked for.
    pub const NO_PUSH: u32 = 16;
    /// The agent's: an end is passed on at once.
    pub const NO_DRAIN: u32 = 32;
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers without padding. The enums are written only by the program
    // that the same build has made, so their bytes are always a variant.
    unsafe impl aya::Pod for super::Splice {}
    // SAFETY: `repr(C)` over integers without padding.
    unsafe impl aya::Pod for super::Ledger {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<Splice>() == 48);
    const _: () = assert!(size_of::<Ledger>() == 16);
}
