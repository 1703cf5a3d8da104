//! From a frame to the TCP segment in it, if it is one that concerns us.

mod ip;

use core::mem::offset_of;

use proxy_common::{
    addr::{Family, Port},
    config::{Config, LocalId},
    flow::FlowKey,
    reason::Reason,
};

pub use self::ip::{Ip, Ipv4, Ipv6, family};
use crate::packet::{Header, Packet};

/// Ethernet, IP without options and TCP, as they lie in a frame. Fields are as loaded from memory,
/// in network byte order; words are aligned to two, since Ethernet's header has 14 bytes.
#[repr(C)]
pub struct Frame<I> {
    pub ethernet: Ethernet,
    pub ip: I,
    pub tcp: Tcp,
}

#[repr(C, packed(2))]
pub struct Ethernet {
    pub destination: [u16; 3],
    pub source: [u16; 3],
    pub kind: u16,
}

/// RFC 9293, section 3.1.
#[repr(C, packed(2))]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub data_offset: u8,
    pub flags: u8,
    pub window: u16,
    pub check: u16,
    pub urgent: u16,
}

/// The same with the options that nearly every segment has: two that do nothing, and timestamps
/// (RFC 7323, appendix A).
#[repr(C)]
pub struct Stamped<I> {
    pub frame: Frame<I>,
    pub stamps: Stamps,
}

#[repr(C, packed(2))]
pub struct Stamps {
    pub kind: [u8; 4],
    pub tsval: u32,
    pub tsecr: u32,
}

/// Ethernet and IP alone, for frames that end before a TCP header would.
#[repr(C)]
struct ShortFrame<I> {
    ethernet: Ethernet,
    ip: I,
}

#[allow(unsafe_code, reason = "the promise that `Header` asks for")]
mod header {
    use super::{Ethernet, Frame, Header, Ip, ShortFrame, Stamped};

    // SAFETY: integers only, packed to two: no padding, any bytes are a value.
    unsafe impl Header for Ethernet {}
    // SAFETY: of parts as above and of an even size, `Ip`s among them, so without padding.
    unsafe impl<I: Ip> Header for Frame<I> {}
    // SAFETY: as above.
    unsafe impl<I: Ip> Header for Stamped<I> {}
    // SAFETY: as above.
    unsafe impl<I: Ip> Header for ShortFrame<I> {}
}

impl<I> Frame<I> {
    pub const LEN: u32 = size_of::<Self>() as u32;
    pub const TCP_CHECK_OFFSET: usize = offset_of!(Self, tcp) + offset_of!(Tcp, check);
}

const _: () = assert!(Frame::<Ipv4>::LEN == 54 && align_of::<Frame<Ipv4>>() == 2);
const _: () = assert!(Frame::<Ipv6>::LEN == 74 && align_of::<Frame<Ipv6>>() == 2);
const _: () = assert!(size_of::<Stamped<Ipv4>>() == 66 && size_of::<Stamped<Ipv6>>() == 86);

pub(crate) const ETHERNET_LEN: u32 = size_of::<Ethernet>() as u32;
const WORDS_WITHOUT_OPTIONS: u8 = 5;

/// A TCP segment for one of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it came from and to which port: what its flow is found by.
    pub key: FlowKey,
    pub family: Family,
    pub flags: Flags,
    /// In host byte order.
    pub acknowledgement: u32,
    /// Time to live or hop limit, as it came.
    pub hops: u8,
    /// Of the IP packet.
    pub bytes: u32,
}

/// RFC 9293, section 3.1, control bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;

    #[inline(always)]
    pub const fn has(self, flags: u8) -> bool {
        self.0 & flags != 0
    }

    /// A SYN and nothing that contradicts it.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::SYN
    }
}

#[inline(always)]
pub fn segment<P: Packet>(packet: &mut P, config: &Config) -> Result<Segment, Reason> {
    let Some(ethernet) = packet.head::<Ethernet>() else { return Err(Reason::NotTcp) };
    match family(ethernet.kind) {
        Some(Family::V4) => segment_over::<Ipv4, P>(packet, config),
        Some(Family::V6) => segment_over::<Ipv6, P>(packet, config),
        None => Err(Reason::NotTcp),
    }
}

#[inline(always)]
fn segment_over<I: Ip, P: Packet>(packet: &mut P, config: &Config) -> Result<Segment, Reason> {
    let room = packet.frame_len().wrapping_sub(ETHERNET_LEN);
    let Some(frame) = packet.head::<Frame<I>>() else {
        return Err(too_short::<I, P>(packet, config));
    };
    let (ip, tcp) = (&frame.ip, &frame.tcp);
    let local = ours(ip, config)?;
    let bytes = ip.packet_len(room)?;
    let words = tcp.data_offset >> 4;
    let smallest = size_of::<I>() as u32 + 4 * u32::from(words);
    if words < WORDS_WITHOUT_OPTIONS || bytes < smallest || bytes > room {
        return Err(Reason::Malformed);
    }
    if !ip.verifies() {
        return Err(Reason::BadChecksum);
    }
    Ok(Segment {
        key: FlowKey {
            remote: ip.source(),
            remote_port: Port::from_word(tcp.source),
            local_port: Port::from_word(tcp.destination),
            local,
            padding: 0,
        },
        family: I::FAMILY,
        flags: Flags(tcp.flags),
        acknowledgement: u32::from_be(tcp.acknowledgement),
        hops: ip.hops(),
        bytes,
    })
}

/// Is it TCP, and for us? Nobody else's packet is judged, let alone dropped.
#[inline(always)]
fn ours<I: Ip>(ip: &I, config: &Config) -> Result<LocalId, Reason> {
    let Some(local) = config.local(ip.destination()) else { return Err(Reason::NotOurs) };
    ip.carries_tcp().map(|()| local)
}

/// A frame too short for TCP is no TCP, or a broken one.
#[inline(always)]
fn too_short<I: Ip, P: Packet>(packet: &mut P, config: &Config) -> Reason {
    let Some(frame) = packet.head::<ShortFrame<I>>() else { return Reason::NotTcp };
    match ours(&frame.ip, config) {
        Ok(_) => Reason::Malformed,
        Err(reason) => reason,
    }
}

/// A packet of ours: the key of the packets that answer it.
#[inline(always)]
pub fn answers<P: Packet>(packet: &mut P, config: &Config) -> Option<(FlowKey, Family)> {
    match family(packet.head::<Ethernet>()?.kind)? {
        Family::V4 => answers_over::<Ipv4, P>(packet, config),
        Family::V6 => answers_over::<Ipv6, P>(packet, config),
    }
}

#[inline(always)]
fn answers_over<I: Ip, P: Packet>(packet: &mut P, config: &Config) -> Option<(FlowKey, Family)> {
    let frame = packet.head::<Frame<I>>()?;
    frame.ip.carries_tcp().ok()?;
    let key = FlowKey {
        remote: frame.ip.destination(),
        remote_port: Port::from_word(frame.tcp.destination),
        local_port: Port::from_word(frame.tcp.source),
        local: config.local(frame.ip.source())?,
        padding: 0,
    };
    Some((key, I::FAMILY))
}
