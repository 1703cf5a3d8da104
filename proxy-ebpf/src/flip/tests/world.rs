//! Two ends, the agent's two sockets between them, a relay between those, and the program where all
//! packets pass on their way to the sockets.

extern crate std;

use std::{vec, vec::Vec};

use proxy_common::{
    addr::Family,
    flow::Direction,
    track::{Arm, Leg, Seed, Stage, Track, TrackId},
};

use super::end::{End, Packet};
use crate::{
    flip::flip,
    track::{count, hear, say},
};

pub const ID: TrackId = TrackId(7);
const WAYS: [Direction; 2] = [Direction::ToBackend, Direction::ToClient];

pub struct World {
    /// Client and backend, and the sockets that face them.
    pub ends: [End; 2],
    pub sockets: [End; 2],
    /// Under way from an end, and to it.
    up: [Vec<Packet>; 2],
    down: [Vec<Packet>; 2],
    /// Past the program, and not yet at the socket.
    behind: [Vec<Packet>; 2],
    pub track: Track,
    /// The agent has made the record.
    is_on_record: bool,
    pub arm: Option<Arm>,
}

#[derive(Clone, Debug)]
pub struct Setting {
    /// First sequence numbers, clocks, room for data and scales: of both ends, then of both sockets.
    pub firsts: [u32; 4],
    pub clocks: [u32; 4],
    pub rooms: [u16; 4],
    pub scales: [u8; 4],
}

/// What happens, to whom of two and how much.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Write(usize, usize),
    Read(usize, usize),
    Send(usize, usize),
    SendAgain(usize, usize),
    SocketSends(usize, usize),
    SocketSendsAgain(usize, usize),
    Relay(usize, usize),
    Deliver(usize, usize),
    DeliverDown(usize, usize),
    /// From the program on to the socket, or to nobody: the stack has no room for it.
    Enter(usize, usize),
    LoseBehind(usize, usize),
    LoseDown(usize, usize),
    Repeat(usize, usize),
    Tick(usize, usize),
    /// All comes to rest, except for what was not yet written.
    Settle,
    /// The agent makes the record, and waits for a grace period: whatever had passed the program by
    /// then enters its socket.
    Record,
    Arm,
}

impl World {
    pub fn new(setting: &Setting) -> Self {
        let end = |this: usize, peer: usize| End {
            first: setting.firsts[this],
            peers_first: setting.firsts[peer],
            room: setting.rooms[this].into(),
            scale: setting.scales[this],
            peers_scale: setting.scales[peer],
            clock: setting.clocks[this],
            ..End::default()
        };
        let mut world = Self {
            ends: [end(0, 2), end(1, 3)],
            sockets: [end(2, 0), end(3, 1)],
            up: [vec![], vec![]],
            down: [vec![], vec![]],
            behind: [vec![], vec![]],
            track: Track::EMPTY,
            is_on_record: false,
            arm: None,
        };
        world.shake_hands();
        world
    }

    fn shake_hands(&mut self) {
        let Self { ends: [client, backend], sockets: [front, back], .. } = self;
        for end in [&mut *client, backend, front, back] {
            end.promise_at_first();
        }
        for (end, socket) in [(client, front), (backend, back)] {
            end.edge = socket.promised;
            socket.edge = end.promised;
            (end.recent, socket.recent) = (socket.clock, end.clock);
        }
    }

    fn record(&mut self) {
        if self.is_on_record {
            return;
        }
        let leg =
            |end: &End, socket: &End| Leg { peer: end.offer(), own: socket.offer(), ..Leg::EMPTY };
        let [client, backend] = [0, 1].map(|who| leg(&self.ends[who], &self.sockets[who]));
        self.track = Track { id: ID, client, backend, ..Track::EMPTY };
        self.is_on_record = true;
        self.grace_period();
    }

    fn grace_period(&mut self) {
        for who in [0, 1] {
            while !self.behind[who].is_empty() {
                self.enter(who, 0);
            }
        }
    }

    pub fn is_handed_over(&self) -> bool {
        self.track.stage == Stage::HandedOver
    }

    fn leg(&mut self, who: usize) -> &mut Leg {
        if who == 0 { &mut self.track.client } else { &mut self.track.backend }
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Write(who, much) => self.write(who, much),
            Step::Read(who, much) => read(&mut self.ends[who], much),
            Step::Send(who, much) => self.send(who, self.ends[who].sent, much),
            Step::SendAgain(who, much) => self.send(who, self.ends[who].acked, much),
            Step::SocketSends(who, much) => self.socket_sends(who, self.sockets[who].sent, much),
            Step::SocketSendsAgain(who, much) => {
                self.socket_sends(who, self.sockets[who].acked, much);
            }
            Step::Relay(who, much) => self.relay(who, much),
            Step::Deliver(who, which) => self.arrive(who, which),
            Step::Enter(who, which) => self.enter(who, which),
            Step::LoseBehind(who, which) => drop(taken(&mut self.behind[who], which)),
            Step::DeliverDown(who, which) => self.arrive_down(who, which),
            Step::LoseDown(who, which) => drop(taken(&mut self.down[who], which)),
            Step::Repeat(who, which) => {
                let copy = self.up[who].get(which % self.up[who].len().max(1)).cloned();
                self.up[who].extend(copy);
            }
            Step::Tick(who, much) => {
                let ticks = |end: &mut End, much| end.clock = end.clock.wrapping_add(much);
                ticks(&mut self.ends[who], much as u32);
                self.sockets.iter_mut().for_each(|socket| ticks(socket, 1));
            }
            Step::Settle => (0..3).for_each(|_| self.round()),
            Step::Record => self.record(),
            Step::Arm if self.is_on_record => self.arm = Some(self.arming()),
            Step::Arm => {}
        }
    }

    fn write(&mut self, who: usize, much: usize) {
        let sends = &mut self.ends[who].sends;
        let from = sends.len();
        sends.extend((from..from + much).map(|at| (at * 31 + at / 256 + who * 101) as u8));
    }

    fn send(&mut self, who: usize, from: usize, most: usize) {
        let packet = self.ends[who].emit(from, most);
        self.up[who].push(packet);
    }

    /// After the handover the guard drops it.
    fn socket_sends(&mut self, who: usize, from: usize, most: usize) {
        if !self.is_handed_over() {
            let packet = self.sockets[who].emit(from, most);
            if self.is_on_record {
                say(self.leg(who), &packet.seen());
            }
            self.down[who].push(packet);
        }
    }

    fn relay(&mut self, from: usize, most: usize) {
        let [front, back] = &mut self.sockets;
        let (from, to) = if from == 0 { (front, back) } else { (back, front) };
        let until = from.got.len().min(from.read + most);
        to.sends.extend(&from.got[from.read..until]);
        from.read = until;
    }

    fn enter(&mut self, who: usize, which: usize) {
        if let Some(packet) = taken(&mut self.behind[who], which) {
            self.sockets[who].receive(&packet);
        }
    }

    fn arrive(&mut self, who: usize, which: usize) {
        let Some(packet) = taken(&mut self.up[who], which) else { return };
        if !self.is_on_record {
            self.behind[who].push(packet);
            return;
        }
        if !self.is_handed_over() {
            let seen = packet.seen();
            hear(self.leg(who), &seen);
            let arm = self.arm;
            let flips =
                arm.is_some_and(|arm| flip(&mut self.track, WAYS[who], Family::V4, &seen, &arm));
            if !flips {
                count(self.leg(who), &seen);
                self.behind[who].push(packet);
                return;
            }
            self.holds_nothing();
        }
        let by = if who == 0 { self.track.to_backend } else { self.track.to_client };
        self.down[1 - who].push(packet.shifted(&by));
    }

    fn holds_nothing(&self) {
        for (end, socket) in self.ends.iter().zip(&self.sockets) {
            assert_eq!(socket.got.len(), socket.read, "a byte that nobody will read");
            assert_eq!(end.got.len(), socket.sends.len(), "a byte that nobody will send again");
        }
    }

    fn arrive_down(&mut self, who: usize, which: usize) {
        if let Some(packet) = taken(&mut self.down[who], which) {
            self.ends[who].receive(&packet);
        }
    }

    /// What the agent reads off its sockets.
    pub fn arming(&self) -> Arm {
        let [front, back] = &self.sockets;
        let offset = |from: &End, to: &End| {
            to.writes().wrapping_sub(from.peers_first.wrapping_add(from.read as u32))
        };
        let seed = |socket: &End| Seed {
            end: socket.expects(),
            acked: socket.first.wrapping_add(socket.acked as u32),
        };
        Arm {
            id: ID,
            to_backend: offset(front, back),
            to_client: offset(back, front),
            client: seed(front),
            backend: seed(back),
        }
    }

    /// Everybody sends what there is, and all of it arrives.
    fn round(&mut self) {
        for who in [0, 1] {
            read(&mut self.ends[who], usize::MAX);
            self.step(Step::Tick(who, 1));
            for again in [true, false] {
                let end = &self.ends[who];
                self.send(who, if again { end.acked } else { end.sent }, 10_000);
            }
            while !self.up[who].is_empty() {
                self.arrive(who, 0);
            }
            self.grace_period();
            self.relay(who, 10_000);
        }
        for who in [0, 1] {
            self.socket_sends(who, self.sockets[who].acked, 10_000);
            while !self.down[who].is_empty() {
                self.arrive_down(who, 0);
            }
        }
    }

    /// Until each end has got all that the other has written, and more than was ever promised: who
    /// may send too much, does.
    pub fn finish(&mut self) {
        [0, 1].iter().for_each(|who| self.write(*who, 6_000));
        (0..200).for_each(|_| self.round());
        for who in [0, 1] {
            assert_eq!(self.ends[who].got, self.ends[1 - who].sends, "the stream to {who}");
        }
    }
}

fn read(end: &mut End, most: usize) {
    end.read = end.got.len().min(end.read.saturating_add(most));
}

fn taken(packets: &mut Vec<Packet>, which: usize) -> Option<Packet> {
    if packets.is_empty() { None } else { Some(packets.remove(which % packets.len())) }
}
