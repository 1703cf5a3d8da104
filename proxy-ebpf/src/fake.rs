//! Surroundings and packets for tests on the host: a table of plain maps, a clock that stands
//! until it is moved, and frames whose checksums are computed anew, by the book.

extern crate std;

use core::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    ops::{Deref, DerefMut},
};
use std::{collections::HashMap, rc::Rc, vec, vec::Vec};

use proxy_common::{
    addr::{Addr, Port},
    backend::{Backend, BackendId, BackendSet},
    config::{Config, PortRange},
    flow::{Direction, Flow, FlowKey},
    reason::Reason,
    stamp::Stamp,
};

use crate::{
    checksum::Change,
    environment::{Environment, InsertError},
    packet::{Header, Packet, PatchError},
    parse::Flags,
};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
pub const PROXY: Ipv4Addr = Ipv4Addr::new(10, 0, 10, 10);
pub const LISTEN: u16 = 443;
pub const IFINDEX: u32 = 7;

pub const fn eni(id: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 21, id)
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
    /// With ENIs 10.0.21.1 to 10.0.21.`enis`, numbered alike.
    pub fn with_enis(enis: u8) -> Self {
        let mut config = Config {
            ifindex: IFINDEX,
            listen: Port::new(LISTEN),
            sources: PortRange { first: 1024, len: 31_744 },
            ..Config::default()
        };
        config.locals[0] = PROXY.into();
        let set = BackendSet::new(1, (1..=enis).map(backend));
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
    Backend { address: eni(id).into(), port: Port::new(443), id: BackendId(id.into()) }
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

    fn patch_tcp_checksum(
        &mut self,
        offset: usize,
        pseudo_header: Change,
        segment: Change,
    ) -> Result<(), PatchError> {
        let word = self.words.get_mut(offset / 2).ok_or(PatchError)?;
        *word = segment.apply(pseudo_header.apply(*word));
        Ok(())
    }
}

/// A TCP segment to be built into a frame.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub source: (Ipv4Addr, u16),
    pub destination: (Ipv4Addr, u16),
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub payload: Vec<u8>,
}

impl Tcp {
    pub fn new(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), flags: u8) -> Self {
        Self { source, destination, flags, sequence: 100, acknowledgement: 0, payload: vec![] }
    }

    pub fn frame(&self) -> FakePacket {
        let total = 40 + self.payload.len();
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([0x45, 0]);
        bytes.extend((total as u16).to_be_bytes());
        bytes.extend([0x12, 0x34, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend(self.source.0.octets());
        bytes.extend(self.destination.0.octets());
        bytes.extend(self.source.1.to_be_bytes());
        bytes.extend(self.destination.1.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([0x50, self.flags, 0x10, 0, 0, 0, 0, 0]);
        bytes.extend(&self.payload);
        let ip_check = internet_checksum(&bytes[14..34]).to_ne_bytes();
        bytes[24..26].copy_from_slice(&ip_check);
        let tcp_check = tcp_checksum(&bytes).to_ne_bytes();
        bytes[50..52].copy_from_slice(&tcp_check);
        FakePacket::from_bytes(&bytes)
    }
}

/// The addresses and ports of a frame.
pub fn ends(frame: &FakePacket) -> [(Ipv4Addr, u16); 2] {
    let bytes = frame.bytes();
    let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    [(address(26), port(34)), (address(30), port(36))]
}

/// Both checksums are right: summed with the field in place, an area gives zero.
pub fn checksums_verify(frame: &FakePacket) -> bool {
    let bytes = frame.bytes();
    internet_checksum(&bytes[14..34]) == 0 && tcp_checksum(&bytes) == 0
}

fn tcp_checksum(frame: &[u8]) -> u16 {
    let segment = &frame[34..];
    let mut area = frame[26..34].to_vec();
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

pub fn key(remote: (Ipv4Addr, u16), local_port: u16) -> FlowKey {
    FlowKey {
        remote: Addr::from(remote.0),
        remote_port: Port::new(remote.1),
        local_port: Port::new(local_port),
        local: proxy_common::config::LocalId(0),
        padding: 0,
    }
}

/// Frames for the open connection of `client_port` that are not forwarded, and why; one that is
/// dropped or passed on is the frame that came.
pub fn not_forwarded(client_port: u16) -> Vec<(&'static str, Vec<u8>, Reason)> {
    type Change = fn(&mut Vec<u8>);
    let rows: [(&str, Change, Reason); 15] = [
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
    let good = Tcp::new((CLIENT, client_port), (PROXY, LISTEN), Flags::ACK).frame().bytes();
    let row = |(description, change, reason): (_, Change, _)| {
        let mut frame = good.clone();
        change(&mut frame);
        (description, frame, reason)
    };
    rows.into_iter().map(row).collect()
}
