//! What became of accepted connections that might have been handed over.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{datapath::tally::lock, status::HandoverStatus};

/// Why a connection is relayed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The data path hands nothing over.
    NotWanted,
    /// It ended before it was time.
    Short,
    /// It ended before a moment came at which nothing was on its way.
    Busy,
    /// An entry of an earlier connection between the same ends is in its place.
    Occupied,
    /// The client has connected to an address, or by a family, that the programs do not serve, or
    /// the backend has another one.
    OtherAddress,
    /// All that were tried are in use towards this backend.
    NoPort,
    TableFull,
    /// The ends differ in SACK or timestamps.
    Options,
    /// One end was told of larger segments than the other takes.
    Segment,
    /// The kernel does not tell of a socket what must be known.
    Repair,
    /// Nothing tells when the kernel is done with the packets that came before its record.
    NoGrace,
}

impl Obstacle {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWanted => "not_wanted",
            Self::Short => "short",
            Self::Busy => "busy",
            Self::Occupied => "occupied",
            Self::OtherAddress => "other_address",
            Self::NoPort => "no_port",
            Self::TableFull => "table_full",
            Self::Options => "options",
            Self::Segment => "segment",
            Self::Repair => "repair",
            Self::NoGrace => "no_grace",
        }
    }
}

#[derive(Debug, Default)]
pub struct Counts {
    /// On the relay, and may still be handed over.
    pub pending: AtomicU64,
    pub handed_over: AtomicU64,
    /// Times that a connection was armed.
    pub armed: AtomicU64,
    relayed: Mutex<BTreeMap<Obstacle, u64>>,
}

impl Counts {
    pub fn relayed(&self, why: Obstacle) {
        *lock(&self.relayed).entry(why).or_default() += 1;
    }

    /// `open`: connections of this agent's that are the program's now.
    pub fn status(&self, open: u64) -> HandoverStatus {
        let relayed = lock(&self.relayed);
        HandoverStatus {
            open,
            pending: self.pending.load(Relaxed),
            handed_over: self.handed_over.load(Relaxed),
            armed: self.armed.load(Relaxed),
            relayed: relayed.iter().map(|(why, count)| (why.as_str().into(), *count)).collect(),
            // The programs' to say.
            guarded: 0,
        }
    }
}
