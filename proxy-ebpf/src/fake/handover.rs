//! A connection that the listener accepts and that is handed over, packet by packet, for the core
//! and for the programs in the kernel. Its four ends differ in all that they can: first numbers,
//! window scales, clocks.

extern crate std;

use std::{vec, vec::Vec};

use proxy_common::{
    addr::{Addr, Family, Port},
    backend::BackendId,
    config::{Config, Opens},
    flow::{Direction, Flow, FlowKey, Half},
    stamp::Stamp,
    track::{Arm, Leg, Offer, Seed, Stage, Track, TrackId},
};

use super::{CLIENT, CLIENT6, End, LISTEN, PROXY, PROXY6, Tcp, eni, eni6, key};
use crate::parse::Flags;

const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;
const FIN: u8 = Flags::FIN;

pub const MARK: u32 = 0xe916;
const SOURCE: u16 = 20_000;
const CPORT: u16 = 51_000;

/// The sequence numbers of the first bytes. The client's wraps at once.
const CLIENTS: u32 = 0;
const FRONTS: u32 = 5_001;
const BACKS: u32 = 3_000_000_001;
const ENIS: u32 = 900_001;
/// What client and ENI have sent before the handover, in bytes.
const ASKED: u32 = 3;
const ANSWERED: u32 = 5;

/// One packet, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Act {
    pub segment: Tcp,
    pub fate: Fate,
}

#[derive(Clone, Debug)]
pub enum Fate {
    /// It comes from an end, and is left to the stack.
    Relayed,
    /// It comes from an end, and leaves like this.
    Forwarded(Tcp),
    /// It comes from one of the agent's sockets, and leaves.
    Granted,
    /// It comes from one of the agent's sockets, and does not leave.
    Refused,
}

#[derive(Clone, Copy, Debug)]
pub struct Session {
    client: End,
    front: End,
    back: End,
    eni: End,
}

impl Session {
    pub fn of(family: Family) -> Self {
        let (client, proxy, eni) = match family {
            Family::V4 => (CLIENT, PROXY, eni(1)),
            Family::V6 => (CLIENT6, PROXY6, eni6(101)),
        };
        let (front, back) = ((proxy, LISTEN), (proxy, SOURCE));
        Self { client: (client, CPORT), front, back, eni: (eni, 443) }
    }

    pub fn config(before: Config) -> Config {
        Config { opens: Opens::Listener, mark: MARK, ..before }
    }

    /// Of the client's packets, and of the ENI's.
    pub fn keys(&self) -> [FlowKey; 2] {
        [key(self.client, LISTEN), key(self.eni, SOURCE)]
    }

    /// What the agent writes once the connection is old enough, and the two entries with it.
    pub fn track(&self, id: TrackId) -> Track {
        let leg = |peer, own| {
            let offer = |scale| {
                let flags = Offer::SCALE | Offer::SACK | Offer::TIMESTAMPS;
                Offer { mss: 1_460, scale, flags }
            };
            Leg { peer: offer(peer), own: offer(own), ..Leg::EMPTY }
        };
        Track { id, client: leg(7, 6), backend: leg(3, 2), ..Track::EMPTY }
    }

    pub fn flows(&self, track: TrackId) -> [Flow; 2] {
        let flow = |direction, to: End, own_port| Flow {
            bytes: 0,
            peer: Addr::from(to.0),
            peer_port: Port::new(to.1),
            own_port: Port::new(own_port),
            backend: BackendId(1),
            direction,
            half: Half::Open,
            packets: 0,
            acked: 0,
            opened: Stamp::default(),
            seen: Stamp::default(),
            track,
            stage: Stage::Relayed,
        };
        [
            flow(Direction::ToBackend, self.eni, SOURCE),
            flow(Direction::ToClient, self.client, LISTEN),
        ]
    }

    /// What the agent writes when it holds nothing: all was read and written.
    pub const fn arm(&self, id: TrackId) -> Arm {
        let (asked, answered) = (CLIENTS + ASKED, ENIS + ANSWERED);
        let (passed_on, returned) = (BACKS + ASKED, FRONTS + ANSWERED);
        Arm {
            id,
            to_backend: passed_on.wrapping_sub(asked),
            to_client: returned.wrapping_sub(answered),
            client: Seed { end: asked, acked: returned },
            backend: Seed { end: answered, acked: passed_on },
        }
    }

    /// Both handshakes, and the question, of which there is no record.
    pub fn young(&self) -> Vec<Act> {
        let asked = CLIENTS + ASKED;
        vec![
            relayed(self.clients(SYN, [CLIENTS.wrapping_sub(1), 0], offer(7, [100, 0]))),
            granted(self.fronts(SYN | ACK, [FRONTS - 1, CLIENTS], offer(6, [7_000, 100])), 100),
            relayed(self.clients(ACK, [CLIENTS, FRONTS], stamps([101, 7_000]))),
            granted(self.backs(SYN, [BACKS - 1, 0], offer(2, [8_000, 0])), 100),
            relayed(self.enis(SYN | ACK, [ENIS - 1, BACKS], offer(3, [300, 8_000]))),
            granted(self.backs(ACK, [BACKS, ENIS], stamps([8_001, 300])), 30),
            relayed(with(b"ask", self.clients(ACK, [CLIENTS, FRONTS], stamps([110, 7_000])))),
            granted(self.fronts(ACK, [FRONTS, asked], stamps([7_010, 110])), 2),
            granted(with(b"ask", self.backs(ACK, [BACKS, ENIS], stamps([8_010, 300]))), 30),
        ]
    }

    /// The answer, with which both ends and both sockets have said something that is on record.
    pub fn grown(&self) -> Vec<Act> {
        let (asked, answered) = (CLIENTS + ASKED, ENIS + ANSWERED);
        let (passed_on, returned) = (BACKS + ASKED, FRONTS + ANSWERED);
        vec![
            relayed(with(b"reply", self.enis(ACK, [ENIS, passed_on], stamps([310, 8_010])))),
            granted(self.backs(ACK, [passed_on, answered], stamps([8_020, 310])), 30),
            granted(with(b"reply", self.fronts(ACK, [FRONTS, asked], stamps([7_020, 110]))), 2),
            relayed(self.clients(ACK, [asked, returned], stamps([120, 7_020]))),
        ]
    }

    /// The packet that takes the connection over, one of the ENI's with SACK blocks, and what the
    /// agent's sockets would still like to say.
    pub fn handed_over(&self) -> Vec<Act> {
        let (asked, answered) = (CLIENTS + ASKED, ENIS + ANSWERED);
        let (passed_on, returned) = (BACKS + ASKED, FRONTS + ANSWERED);
        // The client's stamps go on from 8,020, and the ENI's from 7,020.
        let (to_eni, to_client) = (8_021 - 130, 7_021 - 310);
        let more = |segment: Tcp| Tcp { payload: b"more".to_vec(), ..segment };
        let first = more(self.clients(ACK, [asked, returned], stamps([130, 7_020])));
        let left = self.backs(ACK, [passed_on, answered], stamps([8_021, 7_020 - to_client]));
        let first_left = Tcp { window: 0xffff, ..more(left) };
        let blocks = |at: u32| sack([[at + 2, at + 3], [at + 4, at + 5]]);
        let answer = |mut segment: Tcp, at| {
            segment.options.extend(blocks(at));
            Tcp { window: 80, ..segment }
        };
        let second = self.enis(ACK, [answered, passed_on], stamps([320, 8_021]));
        let left = self.fronts(ACK, [returned, asked], stamps([320 + to_client, 8_021 - to_eni]));
        let second_left = Tcp { window: 10, ..answer(left, asked) };
        vec![
            forwarded(first, first_left),
            forwarded(answer(second, passed_on), second_left),
            refused(self.fronts(FIN | ACK, [returned, asked], stamps([7_030, 130]))),
            refused(self.backs(Flags::RST, [passed_on, 0], vec![])),
        ]
    }

    /// Both ends say that they have no more.
    pub fn finished(&self) -> Vec<Act> {
        let (asked, answered) = (CLIENTS + ASKED + 4, ENIS + ANSWERED);
        let (passed_on, returned) = (BACKS + ASKED + 4, FRONTS + ANSWERED);
        let wide = |segment| Tcp { window: 0xffff, ..segment };
        let narrow = |segment: Tcp, window| Tcp { window, ..segment };
        vec![
            forwarded(
                self.clients(FIN | ACK, [asked, returned], vec![]),
                wide(self.backs(FIN | ACK, [passed_on, answered], vec![])),
            ),
            forwarded(
                narrow(self.enis(FIN | ACK, [answered, passed_on + 1], vec![]), 8),
                narrow(self.fronts(FIN | ACK, [returned, asked + 1], vec![]), 1),
            ),
        ]
    }

    /// Somebody's, for a connection that lives: it is the ENI's to refuse (RFC 5961, section 4).
    pub fn stray_syn(&self) -> Act {
        let by = self.arm(TrackId::NONE).to_backend;
        forwarded(
            self.clients(SYN, [77_777, 0], vec![]),
            self.backs(SYN, [by.wrapping_add(77_777), 0], vec![]),
        )
    }

    /// The client's next connection, from the same port.
    pub fn next_syn(&self) -> Act {
        relayed(self.clients(SYN, [99_999, 0], offer(7, [900, 0])))
    }

    fn clients(&self, flags: u8, numbers: [u32; 2], options: Vec<u8>) -> Tcp {
        segment([self.client, self.front], flags, numbers, options)
    }

    fn fronts(&self, flags: u8, numbers: [u32; 2], options: Vec<u8>) -> Tcp {
        segment([self.front, self.client], flags, numbers, options)
    }

    fn backs(&self, flags: u8, numbers: [u32; 2], options: Vec<u8>) -> Tcp {
        segment([self.back, self.eni], flags, numbers, options)
    }

    fn enis(&self, flags: u8, numbers: [u32; 2], options: Vec<u8>) -> Tcp {
        segment([self.eni, self.back], flags, numbers, options)
    }
}

fn segment(ends: [End; 2], flags: u8, numbers: [u32; 2], options: Vec<u8>) -> Tcp {
    let [sequence, acknowledgement] = numbers;
    Tcp { sequence, acknowledgement, options, ..Tcp::new(ends[0], ends[1], flags) }
}

fn with(payload: &[u8], segment: Tcp) -> Tcp {
    Tcp { payload: payload.to_vec(), ..segment }
}

const fn relayed(segment: Tcp) -> Act {
    Act { segment, fate: Fate::Relayed }
}

/// With a small window: the ends have more room than the sockets promise.
fn granted(segment: Tcp, window: u16) -> Act {
    Act { segment: Tcp { window, ..segment }, fate: Fate::Granted }
}

const fn refused(segment: Tcp) -> Act {
    Act { segment, fate: Fate::Refused }
}

fn forwarded(segment: Tcp, leaves: Tcp) -> Act {
    let hops = segment.hops - 1;
    Act { segment, fate: Fate::Forwarded(Tcp { hops, ..leaves }) }
}

/// As Linux sends it: segment size, SACK, timestamps, window scale.
fn offer(scale: u8, stamps: [u32; 2]) -> Vec<u8> {
    [vec![2, 4, 5, 180, 4, 2], stamp(stamps), vec![1, 3, 3, scale]].concat()
}

fn stamps(stamps: [u32; 2]) -> Vec<u8> {
    [vec![1, 1], stamp(stamps)].concat()
}

fn stamp(stamps: [u32; 2]) -> Vec<u8> {
    [vec![8, 10], stamps.map(u32::to_be_bytes).concat()].concat()
}

fn sack(blocks: [[u32; 2]; 2]) -> Vec<u8> {
    [vec![1, 1, 5, 18], blocks.concat().iter().flat_map(|edge| edge.to_be_bytes()).collect()]
        .concat()
}
