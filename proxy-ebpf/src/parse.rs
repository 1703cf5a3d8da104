//! From a frame to the TCP segment in it, if it is one that concerns us.

use core::mem::{offset_of, size_of};

use network_types::{eth::EtherType, ip::IpProto};
use proxy_common::{
    addr::{Addr, Port},
    config::{Config, LocalId},
    flow::FlowKey,
    reason::Reason,
};

use crate::packet::{Header, Packet};

/// Ethernet, IPv4 without options and TCP, as they lie in a frame. Fields are as loaded from
/// memory, in network byte order; words are aligned to two, since Ethernet's header has 14 bytes.
#[repr(C, packed(2))]
pub struct Frame {
    pub ethernet: Ethernet,
    pub ip: Ipv4,
    pub tcp: Tcp,
}

#[repr(C, packed(2))]
pub struct Ethernet {
    pub destination: [u16; 3],
    pub source: [u16; 3],
    pub kind: u16,
}

/// RFC 791, section 3.1.
#[repr(C, packed(2))]
pub struct Ipv4 {
    pub version_and_length: u8,
    pub service: u8,
    pub total_length: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub check: u16,
    pub source: u32,
    pub destination: u32,
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

/// Ethernet and IPv4 alone, for frames that end before a TCP header would.
#[repr(C, packed(2))]
struct ShortFrame {
    ethernet: Ethernet,
    ip: Ipv4,
}

#[allow(unsafe_code, reason = "the promise that `Header` asks for")]
mod header {
    // SAFETY: integers only, packed to two: no padding, any bytes are a value.
    unsafe impl super::Header for super::Frame {}
    // SAFETY: as above.
    unsafe impl super::Header for super::ShortFrame {}
}

pub const FRAME_LEN: u32 = size_of::<Frame>() as u32;
pub const TCP_CHECK_OFFSET: usize = offset_of!(Frame, tcp) + offset_of!(Tcp, check);
const ETHERNET_LEN: u32 = size_of::<Ethernet>() as u32;
const SMALLEST: u32 = FRAME_LEN - ETHERNET_LEN;

const VERSION_4: u8 = 4;
const WORDS_WITHOUT_OPTIONS: u8 = 5;
/// More fragments, or an offset: everything but the reserved bit and "don't fragment".
const FRAGMENT_MASK: u16 = 0x3fff_u16.to_be();

/// A TCP segment for one of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: Addr,
    pub source_port: Port,
    pub destination: Addr,
    pub destination_port: Port,
    pub local: LocalId,
    pub flags: Flags,
    /// In host byte order.
    pub acknowledgement: u32,
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
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// A SYN and nothing that contradicts it.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::SYN
    }
}

impl Segment {
    #[inline(always)]
    pub const fn key(&self) -> FlowKey {
        FlowKey {
            remote: self.source,
            remote_port: self.source_port,
            local_port: self.destination_port,
            local: self.local,
            padding: 0,
        }
    }
}

#[inline(always)]
pub fn segment<P: Packet>(packet: &mut P, config: &Config) -> Result<Segment, Reason> {
    let frame_len = packet.frame_len();
    let Some(frame) = packet.head::<Frame>() else { return Err(too_short(packet, config)) };
    let (ip, tcp) = (&frame.ip, &frame.tcp);
    let local = ours(&frame.ethernet, ip, config)?;
    let bytes = well_formed(ip, frame_len)?;
    if tcp.data_offset >> 4 < WORDS_WITHOUT_OPTIONS {
        return Err(Reason::Malformed);
    }
    Ok(Segment {
        source: Addr::from_v4_word(ip.source),
        source_port: Port::from_word(tcp.source),
        destination: Addr::from_v4_word(ip.destination),
        destination_port: Port::from_word(tcp.destination),
        local,
        flags: Flags(tcp.flags),
        acknowledgement: u32::from_be(tcp.acknowledgement),
        bytes,
    })
}

/// Is it TCP, and for us? Nobody else's packet is judged, let alone dropped.
#[inline(always)]
fn ours(ethernet: &Ethernet, ip: &Ipv4, config: &Config) -> Result<LocalId, Reason> {
    let is_ipv4 = ethernet.kind == EtherType::Ipv4 as u16;
    if !is_ipv4 || ip.version_and_length >> 4 != VERSION_4 || ip.protocol != IpProto::Tcp as u8 {
        return Err(Reason::NotTcp);
    }
    config.local(Addr::from_v4_word(ip.destination)).ok_or(Reason::NotOurs)
}

/// The bytes of the IP packet, if it is one that can be translated.
#[inline(always)]
fn well_formed(ip: &Ipv4, frame_len: u32) -> Result<u32, Reason> {
    let words = ip.version_and_length & 0x0f;
    if words > WORDS_WITHOUT_OPTIONS {
        return Err(Reason::IpOptions);
    }
    if ip.fragment & FRAGMENT_MASK != 0 {
        return Err(Reason::Fragment);
    }
    let room = frame_len.wrapping_sub(ETHERNET_LEN);
    // The kernel writes 0 into packets of more than 64 KiB that it has merged (BIG TCP).
    let bytes = match u16::from_be(ip.total_length) {
        0 => room,
        total => u32::from(total),
    };
    if words < WORDS_WITHOUT_OPTIONS || bytes < SMALLEST || bytes > room {
        return Err(Reason::Malformed);
    }
    Ok(bytes)
}

/// A frame too short for TCP is no TCP, or a broken one.
#[inline(always)]
fn too_short<P: Packet>(packet: &mut P, config: &Config) -> Reason {
    let Some(frame) = packet.head::<ShortFrame>() else { return Reason::NotTcp };
    match ours(&frame.ethernet, &frame.ip, config) {
        Ok(_) => Reason::Malformed,
        Err(reason) => reason,
    }
}
