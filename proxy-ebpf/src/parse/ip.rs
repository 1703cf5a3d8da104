//! The two IP headers, as far as the packet path must know them.

use network_types::{eth::EtherType, ip::IpProto};
use proxy_common::{
    addr::{Addr, Family},
    reason::Reason,
};

use crate::checksum::{Change, verifies};

/// `kind`: Ethernet's type field, as loaded from memory.
#[inline(always)]
pub const fn family(kind: u16) -> Option<Family> {
    if kind == EtherType::Ipv4 as u16 {
        Some(Family::V4)
    } else if kind == EtherType::Ipv6 as u16 {
        Some(Family::V6)
    } else {
        None
    }
}

pub trait Ip: Sized {
    const FAMILY: Family;

    fn source(&self) -> Addr;
    fn destination(&self) -> Addr;
    /// TCP follows right behind this header, whole.
    fn carries_tcp(&self) -> Result<(), Reason>;
    /// The header's own checksum is right; IPv6 has none.
    fn verifies(&self) -> bool;
    /// ICMP of this family follows right behind this header, whole.
    fn carries_icmp(&self) -> bool;
    /// Bytes of the IP packet as the header tells them, of at most `room`.
    fn packet_len(&self, room: u32) -> Result<u32, Reason>;
    /// Time to live or hop limit.
    fn hops(&self) -> u8;
    /// New addresses and one hop less. Returns what changed in TCP's pseudo header.
    fn readdress(&mut self, source: Addr, destination: Addr) -> Change;
    /// New addresses for a packet that is quoted, not sent. Returns what changed in the quotation,
    /// the header's own checksum with it.
    fn quote(&mut self, source: Addr, destination: Addr) -> Change;
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

const VERSION_4: u8 = 4;
const WORDS: u8 = 5;
/// More fragments, or an offset: everything but the reserved bit and "don't fragment".
const FRAGMENT_MASK: u16 = 0x3fff_u16.to_be();

impl Ip for Ipv4 {
    const FAMILY: Family = Family::V4;

    #[inline(always)]
    fn source(&self) -> Addr {
        Addr::from_v4_word(self.source)
    }

    #[inline(always)]
    fn destination(&self) -> Addr {
        Addr::from_v4_word(self.destination)
    }

    #[inline(always)]
    fn carries_tcp(&self) -> Result<(), Reason> {
        if self.version_and_length >> 4 != VERSION_4 || self.protocol != IpProto::Tcp as u8 {
            return Err(Reason::NotTcp);
        }
        if self.version_and_length & 0x0f > WORDS {
            return Err(Reason::IpOptions);
        }
        if self.fragment & FRAGMENT_MASK != 0 {
            return Err(Reason::Fragment);
        }
        Ok(())
    }

    #[inline(always)]
    fn verifies(&self) -> bool {
        let pair = |first, second| u64::from(u16::from_ne_bytes([first, second]));
        let words = [self.total_length, self.id, self.fragment, self.check];
        let words: u64 = words.into_iter().map(u64::from).sum();
        let bytes = pair(self.version_and_length, self.service) + pair(self.ttl, self.protocol);
        verifies(words + bytes + u64::from(self.source) + u64::from(self.destination))
    }

    #[inline(always)]
    fn packet_len(&self, room: u32) -> Result<u32, Reason> {
        if self.version_and_length & 0x0f < WORDS {
            return Err(Reason::Malformed);
        }
        Ok(match u16::from_be(self.total_length) {
            // Packets of more than 64 KiB that the kernel has merged (BIG TCP).
            0 => room,
            total => u32::from(total),
        })
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.ttl
    }

    #[inline(always)]
    fn carries_icmp(&self) -> bool {
        self.version_and_length == VERSION_4 << 4 | WORDS
            && self.protocol == IpProto::Icmp as u8
            && self.fragment & FRAGMENT_MASK == 0
    }

    #[inline(always)]
    fn readdress(&mut self, source: Addr, destination: Addr) -> Change {
        let addresses = self.set_addresses(source, destination);
        let hop = |ttl: u8| u16::from_ne_bytes([ttl, self.protocol]);
        let header = addresses.word16(hop(self.ttl), hop(self.ttl - 1));
        self.check = header.apply(self.check);
        self.ttl -= 1;
        addresses
    }

    #[inline(always)]
    fn quote(&mut self, source: Addr, destination: Addr) -> Change {
        let addresses = self.set_addresses(source, destination);
        let check = addresses.apply(self.check);
        let change = addresses.word16(self.check, check);
        self.check = check;
        change
    }
}

impl Ipv4 {
    #[inline(always)]
    fn set_addresses(&mut self, source: Addr, destination: Addr) -> Change {
        let (source, destination) = (source.v4_word(), destination.v4_word());
        let change = Change::NONE.word32(self.source, source).word32(self.destination, destination);
        self.source = source;
        self.destination = destination;
        change
    }
}

/// RFC 8200, section 3.
#[repr(C, packed(2))]
pub struct Ipv6 {
    pub version_class_flow: u32,
    pub payload_length: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: [u32; 4],
    pub destination: [u32; 4],
}

const VERSION_6: u8 = 6;

impl Ip for Ipv6 {
    const FAMILY: Family = Family::V6;

    #[inline(always)]
    fn source(&self) -> Addr {
        Addr::from_v6_words(self.source)
    }

    #[inline(always)]
    fn destination(&self) -> Addr {
        Addr::from_v6_words(self.destination)
    }

    #[inline(always)]
    fn carries_tcp(&self) -> Result<(), Reason> {
        let [first, ..] = self.version_class_flow.to_ne_bytes();
        if first >> 4 != VERSION_6 {
            return Err(Reason::NotTcp);
        }
        match self.next_header {
            next if next == IpProto::Tcp as u8 => Ok(()),
            next if next == IpProto::Ipv6Frag as u8 => Err(Reason::Fragment),
            next if is_extension(next) => Err(Reason::IpOptions),
            _ => Err(Reason::NotTcp),
        }
    }

    #[inline(always)]
    fn verifies(&self) -> bool {
        true
    }

    #[inline(always)]
    fn packet_len(&self, room: u32) -> Result<u32, Reason> {
        Ok(match u16::from_be(self.payload_length) {
            // A jumbogram (RFC 2675), or merged by the kernel (BIG TCP).
            0 => room,
            payload => u32::from(payload) + size_of::<Self>() as u32,
        })
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.hop_limit
    }

    #[inline(always)]
    fn carries_icmp(&self) -> bool {
        let [first, ..] = self.version_class_flow.to_ne_bytes();
        first >> 4 == VERSION_6 && self.next_header == IpProto::Ipv6Icmp as u8
    }

    #[inline(always)]
    fn readdress(&mut self, source: Addr, destination: Addr) -> Change {
        self.hop_limit -= 1;
        self.quote(source, destination)
    }

    #[inline(always)]
    fn quote(&mut self, source: Addr, destination: Addr) -> Change {
        let (source, destination) = (source.v6_words(), destination.v6_words());
        let change = Change::NONE.words(self.source, source).words(self.destination, destination);
        self.source = source;
        self.destination = destination;
        change
    }
}

/// Extension headers that TCP may hide behind (RFC 7045, section 4), the fragment's aside.
#[inline(always)]
const fn is_extension(next: u8) -> bool {
    next == IpProto::HopOpt as u8
        || next == IpProto::Ipv6Route as u8
        || next == IpProto::Ah as u8
        || next == IpProto::Ipv6Opts as u8
        || next == IpProto::MobilityHeader as u8
}
