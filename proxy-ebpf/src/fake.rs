//! Surroundings and packets for tests on the host: a table of plain maps, a clock that stands
//! until it is moved, and frames whose checksums are computed anew, by the book.

extern crate std;

pub mod icmp;

use core::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::{Deref, DerefMut},
};
use std::{collections::HashMap, rc::Rc, vec, vec::Vec};

use proxy_common::{
    addr::{Addr, Port},
    backend::{Backend, BackendId, BackendSet},
    config::{Config, LocalId, PortRange},
    flow::{Direction, Flow, FlowKey},
    reason::Reason,
    stamp::Stamp,
};

use crate::{
    checksum::Change,
    environment::{Environment, InsertError},
    packet::{Exit, Header, Packet, PatchError},
    parse::Flags,
};

pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 20));
pub const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 10, 10));
pub const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x20));
pub const PROXY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0x10, 0, 0, 0, 0x10));
pub const LISTEN: u16 = 443;
pub const IFINDEX: u32 = 7;

pub const fn eni(id: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 21, id))
}

pub const fn eni6(id: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0x21, 0, 0, 0, id as u16))
}

pub struct FakeEnvironment {
    pub config: Option<Config>,
    pub set: BackendSet,
    pub flows: RefCell<HashMap<FlowKey, Rc<Cell<Flow>>>>,
    pub capacity: usize,
    pub opened: RefCell<HashMap<BackendId, u64>>,
    pub closed: RefCell<HashMap<BackendId, u64>>,
    pub packets: RefCell<HashMap<(BackendId, u8), u64>>,
    millis: Cell<u64>,
    chance: Cell<u32>,
}

impl FakeEnvironment {
    /// A host of both families, with `enis` ENIs in each: 1 and so on, and 101 and so on.
    pub fn with_enis(enis: u8) -> Self {
        let mut config = Config {
            ifindex: IFINDEX,
            listen: Port::new(LISTEN),
            sources: PortRange { first: 1024, len: 31_744 },
            ..Config::default()
        };
        config.locals[0] = PROXY.into();
        config.locals[1] = PROXY6.into();
        let set = BackendSet::new(1, both(1..=enis));
        Self {
            config: Some(config),
            set,
            flows: RefCell::default(),
            capacity: 1_000,
            opened: RefCell::default(),
            closed: RefCell::default(),
            packets: RefCell::default(),
            millis: Cell::new(1_000_000),
            chance: Cell::new(1),
        }
    }

    pub fn wait(&self, millis: u64) {
        self.millis.set(self.millis.get() + millis);
    }

    pub fn flow_now(&self, key: &FlowKey) -> Option<Flow> {
        self.flows.borrow().get(key).map(|flow| flow.get())
    }
}

pub fn backend(id: u8) -> Backend {
    at(eni(id), id)
}

pub fn backend6(id: u8) -> Backend {
    at(eni6(id), id)
}

/// Each ENI in both families.
pub fn both(enis: impl IntoIterator<Item = u8>) -> impl Iterator<Item = Backend> {
    enis.into_iter().flat_map(|id| [backend(id), backend6(100 + id)])
}

fn at(address: IpAddr, id: u8) -> Backend {
    Backend { address: address.into(), port: Port::new(443), id: BackendId(id.into()) }
}

/// A copy of an entry that is written back when it is let go.
pub struct Entry {
    home: Rc<Cell<Flow>>,
    flow: Flow,
}

impl Deref for Entry {
    type Target = Flow;
    fn deref(&self) -> &Flow {
        &self.flow
    }
}

impl DerefMut for Entry {
    fn deref_mut(&mut self) -> &mut Flow {
        &mut self.flow
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.home.set(self.flow);
    }
}

impl Environment for FakeEnvironment {
    type Entry<'a> = Entry;

    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    fn backends(&self) -> Option<&BackendSet> {
        Some(&self.set)
    }

    fn flow(&self, key: &FlowKey) -> Option<Entry> {
        let home = self.flows.borrow().get(key).cloned()?;
        Some(Entry { flow: home.get(), home })
    }

    fn insert(&self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError> {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Err(InsertError::Taken);
        }
        if flows.len() >= self.capacity {
            return Err(InsertError::Full);
        }
        flows.insert(*key, Rc::new(Cell::new(*flow)));
        Ok(())
    }

    fn remove(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
    }

    fn open_flows(&self, id: BackendId) -> u64 {
        let count = |counts: &RefCell<HashMap<_, u64>>| counts.borrow().get(&id).copied();
        count(&self.opened).unwrap_or(0) - count(&self.closed).unwrap_or(0)
    }

    fn count_opened(&self, id: BackendId) {
        *self.opened.borrow_mut().entry(id).or_default() += 1;
    }

    fn count_closed(&self, id: BackendId) {
        *self.closed.borrow_mut().entry(id).or_default() += 1;
    }

    fn count_packet(&self, id: BackendId, direction: Direction, _bytes: u32) {
        *self.packets.borrow_mut().entry((id, direction as u8)).or_default() += 1;
    }

    fn now(&self) -> Stamp {
        Stamp::from_nanos(self.millis.get() * 1_000_000)
    }

    /// xorshift: the same in every run.
    fn random(&self) -> u32 {
        let mut x = self.chance.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.chance.set(x);
        x
    }
}

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

    fn find_exit(&mut self, _exit: &Exit) -> Result<(), Reason> {
        Ok(())
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

/// A TCP segment to be built into a frame; both ends are of one family.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub source: End,
    pub destination: End,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub payload: Vec<u8>,
}

pub type End = (IpAddr, u16);

const ETHERNET: usize = 14;

impl Tcp {
    pub fn new(source: End, destination: End, flags: u8) -> Self {
        Self { source, destination, flags, sequence: 100, acknowledgement: 0, payload: vec![] }
    }

    pub fn frame(&self) -> FakePacket {
        let kind = if self.source.0.is_ipv6() { [0x86, 0xdd] } else { [8, 0] };
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(kind);
        bytes.extend(ip_header(self.source.0, self.destination.0, 6, self.segment().len()));
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
        segment.extend([0x50, self.flags, 0x10, 0, 0, 0, 0, 0]);
        segment.extend(&self.payload);
        segment
    }
}

fn ip_header(source: IpAddr, destination: IpAddr, protocol: u8, payload: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + payload as u16).to_be_bytes());
            header.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let check = internet_checksum(&header).to_ne_bytes();
            header[10..12].copy_from_slice(&check);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        mixed => panic!("one packet, two families: {mixed:?}"),
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

/// All checksums are right: summed with the field in place, an area gives zero.
pub fn checksums_verify(frame: &FakePacket) -> bool {
    let bytes = frame.bytes();
    let header_verifies = is_v6(&bytes) || internet_checksum(&bytes[14..34]) == 0;
    header_verifies && tcp_checksum(&bytes) == 0
}

fn is_v6(frame: &[u8]) -> bool {
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

fn tcp_checksum(frame: &[u8]) -> u16 {
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

pub fn key(remote: End, local_port: u16) -> FlowKey {
    FlowKey {
        remote: Addr::from(remote.0),
        remote_port: Port::new(remote.1),
        local_port: Port::new(local_port),
        local: LocalId(u16::from(remote.0.is_ipv6())),
        padding: 0,
    }
}

/// Frames for the open connection of `client_port` that are not forwarded, and why; one that is
/// dropped or passed on is the frame that came.
pub fn not_forwarded(client_port: u16) -> Vec<(&'static str, Vec<u8>, Reason)> {
    let v4 = Tcp::new((CLIENT, client_port), (PROXY, LISTEN), Flags::ACK).frame().bytes();
    let v6 = Tcp::new((CLIENT6, client_port), (PROXY6, LISTEN), Flags::ACK).frame().bytes();
    let spoil = |good: &[u8], rows: &[Row]| -> Vec<_> {
        let spoilt = |(description, change, reason): &Row| {
            let mut frame = good.to_vec();
            change(&mut frame);
            (*description, frame, *reason)
        };
        rows.iter().map(spoilt).collect()
    };
    [spoil(&v4, &ROWS_V4), spoil(&v6, &ROWS_V6)].concat()
}

type Row = (&'static str, fn(&mut Vec<u8>), Reason);

const ROWS_V4: [Row; 15] = [
    ("ARP", |f| f[13] = 6, Reason::NotTcp),
    ("UDP", |f| f[23] = 17, Reason::NotTcp),
    ("IP version 6 in an IPv4 frame", |f| f[14] = 0x65, Reason::NotTcp),
    ("for another address", |f| f[33] ^= 1, Reason::NotOurs),
    ("for another port", |f| f[37] ^= 1, Reason::OtherPort),
    ("from another port", |f| f[35] ^= 1, Reason::UnknownFlow),
    ("IP options", |f| f[14] = 0x46, Reason::IpOptions),
    ("IP header too short", |f| f[14] = 0x44, Reason::Malformed),
    ("first fragment", |f| f[20] |= 0x20, Reason::Fragment),
    ("later fragment", |f| f[21] = 1, Reason::Fragment),
    ("shorter than it says", |f| f[17] += 1, Reason::Malformed),
    ("no room for a TCP header", |f| f[17] = 39, Reason::Malformed),
    ("TCP header too short", |f| f[46] = 0x40, Reason::Malformed),
    ("cut off inside the TCP header", |f| f.truncate(50), Reason::Malformed),
    ("at the end of its life", |f| f[22] = 1, Reason::TtlExpired),
];

const ROWS_V6: [Row; 12] = [
    ("IPv6: ICMPv6", |f| f[20] = 58, Reason::NotTcp),
    ("IPv6: version 4 in an IPv6 frame", |f| f[14] = 0x45, Reason::NotTcp),
    ("IPv6: for another address", |f| f[53] ^= 1, Reason::NotOurs),
    ("IPv6: for another port", |f| f[57] ^= 1, Reason::OtherPort),
    ("IPv6: from another port", |f| f[55] ^= 1, Reason::UnknownFlow),
    ("IPv6: hop-by-hop options", |f| f[20] = 0, Reason::IpOptions),
    ("IPv6: destination options", |f| f[20] = 60, Reason::IpOptions),
    ("IPv6: fragment", |f| f[20] = 44, Reason::Fragment),
    ("IPv6: shorter than it says", |f| f[19] += 1, Reason::Malformed),
    ("IPv6: no room for a TCP header", |f| f[19] = 19, Reason::Malformed),
    ("IPv6: cut off inside the TCP header", |f| f.truncate(70), Reason::Malformed),
    ("IPv6: at the end of its life", |f| f[21] = 1, Reason::TtlExpired),
];
