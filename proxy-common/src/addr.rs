//! Addresses and ports as they stand on the wire, in types that cannot be mixed up with host
//! byte order.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// An IP address in network byte order; IPv4 is held IPv4-mapped (RFC 4291, section 2.5.5.2), so
/// that one table serves both families.
///
/// Four words rather than sixteen bytes: the eBPF target loads what is aligned in one instruction.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Addr([u32; 4]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4 = 0,
    V6 = 1,
}

const V4_MAPPED: u32 = 0xffff_u32.to_be();

impl Addr {
    pub const UNSPECIFIED: Self = Self([0; 4]);

    /// `word`: the four bytes of an IPv4 header's address field, as loaded from memory.
    #[inline(always)]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, 0, V4_MAPPED, word])
    }

    /// The four bytes of the IPv4 address, as they lie in memory; meaningless for IPv6.
    #[inline(always)]
    pub const fn v4_word(self) -> u32 {
        self.0[3]
    }

    /// `words`: the sixteen bytes of an IPv6 header's address field, as loaded from memory.
    #[inline(always)]
    pub const fn from_v6_words(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// The sixteen bytes of the IPv6 address, as they lie in memory.
    #[inline(always)]
    pub const fn v6_words(self) -> [u32; 4] {
        self.0
    }

    pub const fn family(self) -> Family {
        let is_v4 = self.0[0] == 0 && self.0[1] == 0 && self.0[2] == V4_MAPPED;
        if is_v4 { Family::V4 } else { Family::V6 }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        let word = |at: usize| {
            u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        Self([word(0), word(4), word(8), word(12)])
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(address: Addr) -> Self {
        let mut octets = [0; 16];
        for (bytes, word) in octets.chunks_exact_mut(4).zip(address.0) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        Ipv6Addr::from(octets).to_canonical()
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

/// A TCP port in network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Port(u16);

impl Port {
    /// `word`: the two bytes of a TCP header's port field, as loaded from memory.
    #[inline(always)]
    pub const fn from_word(word: u16) -> Self {
        Self(word)
    }

    /// The two bytes of the port, as they lie in memory.
    #[inline(always)]
    pub const fn word(self) -> u16 {
        self.0
    }

    /// From host byte order.
    #[inline(always)]
    pub const fn new(port: u16) -> Self {
        Self(port.to_be())
    }

    /// In host byte order.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

/// An address and a port, as std has them.
pub fn socket(address: Addr, port: Port) -> SocketAddr {
    SocketAddr::new(address.into(), port.get())
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers, without padding: any bytes are a value.
    unsafe impl aya::Pod for super::Addr {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Port {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const _: () = assert!(size_of::<Addr>() == 16 && size_of::<Port>() == 2);

    #[test]
    fn an_ipv4_address_is_held_mapped_and_in_network_byte_order() {
        let address = Addr::from(Ipv4Addr::new(10, 0, 21, 17));
        assert_eq!(address.family(), Family::V4);
        assert_eq!(address.v4_word().to_ne_bytes(), [10, 0, 21, 17]);
        assert_eq!(Port::new(443).word().to_ne_bytes(), [0x01, 0xbb]);
    }

    proptest! {
        #[test]
        fn every_address_survives_the_way_in_and_out(octets: [u8; 16], v4: [u8; 4], port: u16) {
            let v4 = IpAddr::from(v4);
            prop_assert_eq!(IpAddr::from(Addr::from(v4)), v4);
            let v6 = Ipv6Addr::from(octets);
            prop_assert_eq!(IpAddr::from(Addr::from(v6)), v6.to_canonical());
            prop_assert_eq!(Port::new(port).get(), port);
        }
    }
}
