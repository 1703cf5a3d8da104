//! Changes the numbers of a connection that was accepted in user space: each end has made its own
//! agreement with one of the agent's sockets, and meets the other end's numbers as those.

use proxy_common::{addr::Family, reason::Reason, track::Shift};

use crate::{
    checksum::Change,
    options::{HEADER, Options, Places},
    packet::{Behind, PatchError},
    parse::{Flags, Frame, Ip, Ipv4, Ipv6, Stamped, Tcp},
    seen::Seen,
};

/// A block's two edges (RFC 2018, section 3).
const BLOCK: u32 = 8;
const MOST_BLOCKS: u32 = 4;

/// Of a packet whose addresses and ports are translated. One pass over its options, one change of its
/// checksum; of what the kernel has merged or will cut, each part gets the same.
///
/// A function of its own, for its part of the stack.
#[inline(never)]
pub fn shift<P: Behind>(
    packet: &mut P,
    family: Family,
    seen: &Seen,
    by: &Shift,
) -> Result<(), Reason> {
    let shifted = match family {
        Family::V4 => shift_over::<Ipv4, P>(packet, seen, by),
        Family::V6 => shift_over::<Ipv6, P>(packet, seen, by),
    };
    shifted.map_err(|_refused| Reason::RewriteFailed)
}

#[inline(always)]
fn shift_over<I: Ip, P: Behind>(packet: &mut P, seen: &Seen, by: &Shift) -> Result<(), PatchError> {
    let change = match seen.places {
        Places::USUAL => shift_stamped::<I, P>(packet, by)?,
        places => {
            let frame = packet.head::<Frame<I>>().ok_or(PatchError)?;
            let header = shift_header(&mut frame.tcp, by);
            header.and(shift_options(packet, seen.options, places, by)?)
        }
    };
    packet.patch_checksum(Frame::<I>::TCP_CHECK_OFFSET, Change::NONE, change)
}

/// In place: spares the helpers that nearly every packet would need.
#[inline(always)]
fn shift_stamped<I: Ip, P: Behind>(packet: &mut P, by: &Shift) -> Result<Change, PatchError> {
    let Stamped { frame, stamps } = packet.head::<Stamped<I>>().ok_or(PatchError)?;
    let (tsval, tsecr) = (add(stamps.tsval, by.tsval), add(stamps.tsecr, by.tsecr));
    let change = Change::NONE.word32(stamps.tsval, tsval).word32(stamps.tsecr, tsecr);
    (stamps.tsval, stamps.tsecr) = (tsval, tsecr);
    Ok(change.and(shift_header(&mut frame.tcp, by)))
}

#[inline(always)]
fn shift_header(tcp: &mut Tcp, by: &Shift) -> Change {
    let flags = Flags(tcp.flags);
    let sequence = add(tcp.sequence, by.sequence);
    let mut change = Change::NONE.word32(tcp.sequence, sequence);
    tcp.sequence = sequence;
    if flags.has(Flags::ACK) {
        let acknowledgement = add(tcp.acknowledgement, by.acknowledgement);
        change = change.word32(tcp.acknowledgement, acknowledgement);
        tcp.acknowledgement = acknowledgement;
    }
    // A SYN's is not scaled (RFC 7323, section 2.2).
    if by.scale_from != by.scale_to && !flags.has(Flags::SYN) {
        let window = scaled(tcp.window, by);
        change = change.word16(tcp.window, window);
        tcp.window = window;
    }
    change
}

/// To a number in network byte order.
#[inline(always)]
const fn add(word: u32, offset: u32) -> u32 {
    u32::from_be(word).wrapping_add(offset).to_be()
}

/// No more than the sender takes: what the receiver's scale cannot say is left out.
#[inline(always)]
fn scaled(window: u16, by: &Shift) -> u16 {
    let bytes = u32::from(u16::from_be(window)) << (by.scale_from & 31);
    let window = (bytes >> (by.scale_to & 31)).min(u32::from(u16::MAX));
    (window as u16).to_be()
}

#[inline(always)]
fn shift_options<P: Behind>(
    packet: &mut P,
    options: Options,
    places: Places,
    by: &Shift,
) -> Result<Change, PatchError> {
    let tcp = options.begin.wrapping_sub(HEADER);
    let mut change = Change::NONE;
    if let Some(at) = places.timestamps(options) {
        change = shift_pair(packet, tcp, at + 2, [by.tsval, by.tsecr], change)?;
    }
    if let Some(at) = places.sack(options) {
        let blocks = places.sack_blocks();
        for block in 0..MOST_BLOCKS {
            if block >= blocks {
                break;
            }
            let edges = [by.acknowledgement; 2];
            change = shift_pair(packet, tcp, at + 2 + BLOCK * block, edges, change)?;
        }
    }
    Ok(change)
}

/// Two numbers side by side. `tcp`: where the area of the checksum begins, in the frame.
#[inline(always)]
fn shift_pair<P: Behind>(
    packet: &mut P,
    tcp: u32,
    at: u32,
    by: [u32; 2],
    change: Change,
) -> Result<Change, PatchError> {
    let old: [u8; 8] = packet.load(at).ok_or(PatchError)?;
    let old = u64::from_ne_bytes(old);
    let (first, second) = (add(old as u32, by[0]), add((old >> 32) as u32, by[1]));
    let new = u64::from(second) << 32 | u64::from(first);
    packet.store(at, new.to_ne_bytes())?;
    let change = change.word32_at(at - tcp, old as u32, first);
    Ok(change.word32_at(at - tcp, (old >> 32) as u32, second))
}

#[cfg(test)]
mod tests;
