//! Frames, and what the standards say of their checksums.

extern crate std;

use core::net::IpAddr;
use std::{vec, vec::Vec};

use proxy_common::reason::Reason;

use crate::{
    checksum::Change,
    packet::{Behind, Exit, Header, Hop, Leaving, Packet, PatchError},
    parse::Ethernet,
};

/// A frame, in words so that it begins at an even address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakePacket {
    words: Vec<u16>,
    len: usize,
}

impl FakePacket {
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks(2)
            .map(|pair| u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        Self { words: words.collect(), len: bytes.len() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(self.len);
        bytes
    }
}

impl Packet for FakePacket {
    #[allow(unsafe_code, reason = "lays a header over bytes, as the programs do")]
    fn head<H: Header>(&mut self) -> Option<&mut H> {
        let fits = size_of::<H>() <= self.len && align_of::<H>() <= align_of::<u16>();
        // SAFETY: inside the words, aligned to two, and any bytes are a `Header`.
        fits.then(|| unsafe { &mut *self.words.as_mut_ptr().cast::<H>() })
    }

    fn frame_len(&self) -> u32 {
        self.len as u32
    }

    fn patch_checksum(
        &mut self,
        offset: usize,
        pseudo_header: Change,
        message: Change,
    ) -> Result<(), PatchError> {
        let word = self.words.get_mut(offset / 2).ok_or(PatchError)?;
        *word = message.apply(pseudo_header.apply(*word));
        Ok(())
    }
}

impl Leaving for FakePacket {
    /// As it came.
    fn find_exit(&mut self, exit: &Exit<'_>) -> Result<Hop, Reason> {
        let ethernet = self.head::<Ethernet>().ok_or(Reason::NoExit)?;
        let (source, destination) = (ethernet.source, ethernet.destination);
        Ok(Hop { source, destination, largest: exit.bytes as u16 })
    }
}

impl Behind for FakePacket {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let bytes = self.bytes();
        bytes.get(offset as usize..)?.first_chunk().copied()
    }

    fn store<const N: usize>(&mut self, offset: u32, new: [u8; N]) -> Result<(), PatchError> {
        let mut bytes = self.bytes();
        let at = offset as usize;
        bytes.get_mut(at..at + N).ok_or(PatchError)?.copy_from_slice(&new);
        *self = Self::from_bytes(&bytes);
        Ok(())
    }
}

/// A TCP segment to be built into a frame; both ends are of one family.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub source: End,
    pub destination: End,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub hops: u8,
    /// Padded with the end of the list (zeros) to whole words.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

pub type End = (IpAddr, u16);

pub(super) const ETHERNET: usize = 14;

impl Tcp {
    pub fn new(source: End, destination: End, flags: u8) -> Self {
        Self {
            source,
            destination,
            flags,
            sequence: 100,
            acknowledgement: 0,
            window: 0x1000,
            hops: 64,
            options: vec![],
            payload: vec![],
        }
    }

    pub fn frame(&self) -> FakePacket {
        let kind = if self.source.0.is_ipv6() { [0x86, 0xdd] } else { [8, 0] };
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(kind);
        bytes.extend(ip_header(
            [self.source.0, self.destination.0],
            self.hops,
            6,
            self.segment().len(),
        ));
        bytes.extend(self.segment());
        let check = tcp_checksum(&bytes).to_ne_bytes();
        let at = tcp_offset(&bytes) + 16;
        bytes[at..at + 2].copy_from_slice(&check);
        FakePacket::from_bytes(&bytes)
    }

    /// Without its checksum.
    fn segment(&self) -> Vec<u8> {
        let mut segment = vec![];
        segment.extend(self.source.1.to_be_bytes());
        segment.extend(self.destination.1.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgement.to_be_bytes());
        let words = self.options.len().div_ceil(4);
        segment.extend([(5 + words as u8) << 4, self.flags]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(&self.options);
        segment.resize(20 + 4 * words, 0);
        segment.extend(&self.payload);
        segment
    }
}

pub(super) fn ip_header(ends: [IpAddr; 2], hops: u8, protocol: u8, payload: usize) -> Vec<u8> {
    match ends.into() {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + payload as u16).to_be_bytes());
            header.extend([0x12, 0x34, 0x40, 0, hops, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            sum_header(&mut header);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload as u16).to_be_bytes());
            header.extend([protocol, hops]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        mixed => panic!("one packet, two families: {mixed:?}"),
    }
}

fn sum_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let check = internet_checksum(header).to_ne_bytes();
    header[10..12].copy_from_slice(&check);
}

/// Makes the header of an IPv4 frame agree with its checksum again, after it was changed.
pub fn sum_again(frame: &mut [u8]) {
    if frame[12..14] == [8, 0] {
        sum_header(&mut frame[14..34]);
    }
}

/// The addresses and ports of a frame.
pub fn ends(frame: &FakePacket) -> [End; 2] {
    let bytes = frame.bytes();
    let (source, destination) = addresses(&bytes);
    let at = tcp_offset(&bytes);
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    [(source, port(at)), (destination, port(at + 2))]
}

/// The same packet sent back: source and destination have changed places. No checksum changes.
pub fn turned_round(frame: &FakePacket) -> FakePacket {
    let mut bytes = frame.bytes();
    let (addresses, address) = if is_v6(&bytes) { (22, 16) } else { (26, 4) };
    let ports = tcp_offset(&bytes);
    bytes[addresses..addresses + 2 * address].rotate_left(address);
    bytes[ports..ports + 4].rotate_left(2);
    FakePacket::from_bytes(&bytes)
}

/// All checksums are right: summed with the field in place, an area gives zero.
pub fn checksums_verify(frame: &FakePacket) -> bool {
    let bytes = frame.bytes();
    let header_verifies = is_v6(&bytes) || internet_checksum(&bytes[14..34]) == 0;
    header_verifies && tcp_checksum(&bytes) == 0
}

pub(super) fn is_v6(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd]
}

pub fn tcp_offset(frame: &[u8]) -> usize {
    ETHERNET + if is_v6(frame) { 40 } else { 20 }
}

fn addresses(frame: &[u8]) -> (IpAddr, IpAddr) {
    fn part<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
        frame[at..at + N].try_into().expect("N bytes")
    }
    if is_v6(frame) {
        (part::<16>(frame, 22).into(), part::<16>(frame, 38).into())
    } else {
        (part::<4>(frame, 26).into(), part::<4>(frame, 30).into())
    }
}

/// What the checksum should be, where the field is 0; else by how much the field is wrong.
pub fn tcp_checksum(frame: &[u8]) -> u16 {
    let segment = &frame[tcp_offset(frame)..];
    let addresses = if is_v6(frame) { &frame[22..54] } else { &frame[26..34] };
    let mut area = addresses.to_vec();
    area.extend([0, 6]);
    area.extend((segment.len() as u16).to_be_bytes());
    area.extend(segment);
    internet_checksum(&area)
}

/// RFC 1071, straight from the definition; in the byte order that a field is loaded in.
pub fn internet_checksum(area: &[u8]) -> u16 {
    let mut sum: u64 = area
        .chunks(2)
        .map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
