//! One end of a TCP connection, reduced to what the handover depends on: numbers, windows, stamps.

extern crate std;

use std::{collections::BTreeMap, vec::Vec};

use proxy_common::track::{Offer, Shift};

use crate::{
    parse::Flags,
    seen::Seen,
    track::{after, newest},
};

const fn later(one: u32, other: u32) -> u32 {
    newest(true, one, other)
}

#[derive(Clone, Debug)]
pub struct Packet {
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub tsval: u32,
    pub tsecr: u32,
    pub payload: Vec<u8>,
}

impl Packet {
    pub fn seen(&self) -> Seen {
        Seen {
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            end: self.sequence.wrapping_add(self.payload.len() as u32),
            window: self.window,
            flags: Flags(Flags::ACK),
            is_stamped: true,
            tsval: self.tsval,
            ..Seen::NOTHING
        }
    }

    pub fn shifted(&self, by: &Shift) -> Self {
        let window = (u32::from(self.window) << by.scale_from) >> by.scale_to;
        Self {
            sequence: self.sequence.wrapping_add(by.sequence),
            acknowledgement: self.acknowledgement.wrapping_add(by.acknowledgement),
            window: window.min(0xffff) as u16,
            tsval: self.tsval.wrapping_add(by.tsval),
            tsecr: self.tsecr.wrapping_add(by.tsecr),
            payload: self.payload.clone(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct End {
    /// The sequence number of its first byte, and of the first that it gets.
    pub first: u32,
    pub peers_first: u32,
    /// All that its application has written, how much of it was sent, and acknowledged.
    pub sends: Vec<u8>,
    pub sent: usize,
    pub acked: usize,
    /// Up to where it may send.
    pub edge: u32,
    /// All that has come in order, how much of it the application has read, and what came too early.
    pub got: Vec<u8>,
    pub read: usize,
    pub early: BTreeMap<usize, Vec<u8>>,
    pub room: usize,
    /// Up to where it has said that it takes data.
    pub promised: u32,
    pub scale: u8,
    pub peers_scale: u8,
    pub clock: u32,
    pub recent: u32,
}

impl End {
    pub fn offer(&self) -> Offer {
        let flags = Offer::SCALE | Offer::SACK | Offer::TIMESTAMPS;
        Offer { mss: 1460, scale: self.scale, flags }
    }

    /// The sequence number that it expects next, and that it writes next.
    pub fn expects(&self) -> u32 {
        self.peers_first.wrapping_add(self.got.len() as u32)
    }

    pub fn writes(&self) -> u32 {
        self.first.wrapping_add(self.sends.len() as u32)
    }

    /// With its SYN, whose window is not scaled.
    pub fn promise_at_first(&mut self) {
        self.promised = self.peers_first.wrapping_add(self.room.min(0xffff) as u32);
    }

    /// At most so many bytes from there on, as far as they are written and the edge allows.
    pub fn emit(&mut self, from: usize, most: usize) -> Packet {
        let allowed = self.edge.wrapping_sub(self.first.wrapping_add(from as u32)) as i32;
        let most = most.min(usize::try_from(allowed).unwrap_or(0));
        let to = self.sends.len().min(from + most);
        self.sent = self.sent.max(to);
        let window = self.window();
        let edge = self.expects().wrapping_add(u32::from(window) << self.scale);
        self.promised = later(self.promised, edge);
        Packet {
            sequence: self.first.wrapping_add(from as u32),
            acknowledgement: self.expects(),
            window,
            tsval: self.clock,
            tsecr: self.recent,
            payload: self.sends[from.min(to)..to].to_vec(),
        }
    }

    /// What there is room for, and never less than was promised before: that is rounded up to what the
    /// scale can say (tcp_select_window in net/ipv4/tcp_output.c).
    fn window(&self) -> u16 {
        let free = self.room.saturating_sub(self.got.len() - self.read) as u32;
        let kept = self.promised.wrapping_sub(self.expects()) as i32;
        let kept = u32::try_from(kept).unwrap_or(0).div_ceil(1 << self.scale);
        (free >> self.scale).max(kept).min(0xffff) as u16
    }

    /// What no end may ever see makes the test fail here.
    pub fn receive(&mut self, packet: &Packet) {
        let end = packet.sequence.wrapping_add(packet.payload.len() as u32);
        assert!(!after(end, self.promised), "data beyond what was promised");
        assert!(!after(packet.tsecr, self.clock), "the echo of a stamp that was never sent");
        if after(self.recent, packet.tsval) {
            return;
        }
        if !after(packet.sequence, self.expects()) {
            self.recent = packet.tsval;
        }
        let acked = packet.acknowledgement.wrapping_sub(self.first) as i32;
        let acked = usize::try_from(acked).unwrap_or(0);
        assert!(acked <= self.sent, "{acked} acknowledged, {} sent", self.sent);
        self.acked = self.acked.max(acked);
        let window = u32::from(packet.window) << self.peers_scale;
        self.edge = later(self.edge, packet.acknowledgement.wrapping_add(window));
        self.take(packet);
    }

    fn take(&mut self, packet: &Packet) {
        let at = packet.sequence.wrapping_sub(self.peers_first) as i32;
        let skipped = at.min(0).unsigned_abs() as usize;
        let at = usize::try_from(at).unwrap_or(0);
        let bytes = packet.payload.get(skipped..).unwrap_or(&[]);
        if !bytes.is_empty() {
            let kept = self.early.entry(at).or_default();
            if kept.len() < bytes.len() {
                *kept = bytes.to_vec();
            }
        }
        while let Some((&at, _)) = self.early.first_key_value()
            && at <= self.got.len()
            && let Some(bytes) = self.early.remove(&at)
        {
            let known = self.got.len() - at;
            let same = known.min(bytes.len());
            assert_eq!(self.got[at..at + same], bytes[..same], "the same bytes, sent again");
            self.got.extend(bytes.get(known..).unwrap_or(&[]));
        }
    }
}
