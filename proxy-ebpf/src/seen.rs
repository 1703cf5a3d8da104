//! The numbers of one segment, as far as a connection's record and its translation need them.

use proxy_common::addr::Family;

use crate::{
    options::{self, HEADER, Options, Places},
    packet::Behind,
    parse::{ETHERNET_LEN, Flags, Frame, Ip, Ipv4, Ipv6},
};

/// All numbers are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u32,
    pub acknowledgement: u32,
    /// The sequence number behind its last; SYN and FIN have one too.
    pub end: u32,
    /// As it stands in the header, not scaled.
    pub window: u16,
    pub flags: Flags,
    pub is_stamped: bool,
    pub tsval: u32,
    pub options: Options,
    pub places: Places,
}

impl Seen {
    pub const NOTHING: Self = Self {
        sequence: 0,
        acknowledgement: 0,
        end: 0,
        window: 0,
        flags: Flags(0),
        is_stamped: false,
        tsval: 0,
        options: Options::NONE,
        places: Places::NONE,
    };

    /// Up to where its sender takes data.
    #[inline(always)]
    pub const fn edge(&self, scale: u8) -> u32 {
        let scale = if self.flags.has(Flags::SYN) { 0 } else { scale };
        self.acknowledgement.wrapping_add((self.window as u32) << (scale & 31))
    }
}

/// Of a segment that was found to be well-formed. `false` if it is not, after all, or if its options
/// are more than anybody sends.
///
/// A function of its own, for its part of the stack.
#[inline(never)]
pub fn see<P: Behind>(packet: &mut P, family: Family, seen: &mut Seen) -> bool {
    match family {
        Family::V4 => see_over::<Ipv4, P>(packet, seen),
        Family::V6 => see_over::<Ipv6, P>(packet, seen),
    }
}

#[inline(always)]
fn see_over<I: Ip, P: Behind>(packet: &mut P, seen: &mut Seen) -> bool {
    if !read::<I, P>(packet, seen) {
        return false;
    }
    if let Some(tsval) = options::usual(packet, seen.options) {
        (seen.is_stamped, seen.tsval) = (true, u32::from_be(tsval));
        seen.places = Places::USUAL;
        return true;
    }
    options::find(packet, seen.options, &mut seen.places);
    read_stamp(packet, seen);
    seen.places != Places::UNREAD
}

#[inline(always)]
fn read<I: Ip, P: Behind>(packet: &mut P, seen: &mut Seen) -> bool {
    let room = packet.frame_len().wrapping_sub(ETHERNET_LEN);
    let Some(frame) = packet.head::<Frame<I>>() else { return false };
    let Ok(bytes) = frame.ip.packet_len(room) else { return false };
    let Some(options) = Options::of::<I>(&frame.tcp, ETHERNET_LEN + bytes) else { return false };
    let flags = Flags(frame.tcp.flags);
    let headers = size_of::<I>() as u32 + HEADER + options.len;
    let sequence = u32::from_be(frame.tcp.sequence);
    seen.sequence = sequence;
    seen.acknowledgement = u32::from_be(frame.tcp.acknowledgement);
    seen.end = sequence
        .wrapping_add(bytes.wrapping_sub(headers))
        .wrapping_add(u32::from(flags.has(Flags::SYN)))
        .wrapping_add(u32::from(flags.has(Flags::FIN)));
    seen.window = u16::from_be(frame.tcp.window);
    seen.flags = flags;
    // The place was an earlier segment's.
    (seen.is_stamped, seen.tsval) = (false, 0);
    seen.options = options;
    true
}

#[inline(always)]
fn read_stamp<P: Behind>(packet: &P, seen: &mut Seen) {
    if let Some(at) = seen.places.timestamps(seen.options)
        && let Some(tsval) = packet.load(at + 2)
    {
        seen.tsval = u32::from_be_bytes(tsval);
        seen.is_stamped = true;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::*;
    use crate::fake::{CLIENT, LISTEN, PROXY, Tcp};

    #[test]
    fn nothing_is_left_of_the_segment_before() {
        let segment =
            |flags, options| Tcp { options, ..Tcp::new((CLIENT, 51_000), (PROXY, LISTEN), flags) };
        let mut seen = Seen::NOTHING;
        let syn = vec![2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        assert!(see(&mut segment(Flags::SYN, syn).frame(), Family::V4, &mut seen));
        let stamps = vec![1, 1, 8, 10, 0, 0, 0, 12, 0, 0, 0, 5];
        assert!(see(&mut segment(Flags::ACK, stamps).frame(), Family::V4, &mut seen));
        assert_eq!((seen.is_stamped, seen.tsval), (true, 12));
        assert!(see(&mut segment(Flags::ACK, vec![]).frame(), Family::V4, &mut seen));
        let mut fresh = Seen::NOTHING;
        assert!(see(&mut segment(Flags::ACK, vec![]).frame(), Family::V4, &mut fresh));
        assert_eq!(seen, fresh);
    }
}
