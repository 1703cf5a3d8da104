//! What the programs tell the agent of connections, through a ring buffer.

use crate::{
    addr::{Addr, Port},
    backend::BackendId,
    config::LocalId,
    flow::{Direction, Flow},
    stamp::Stamp,
};

/// What became of a connection. The numbers travel between versions of program and agent: none is
/// given twice.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Opened = 0,
    /// Both sides have sent their FIN.
    Finished = 1,
    ResetByClient = 2,
    ResetByBackend = 3,
    /// The backend left the SYN without an answer: the client's next one opened a new flow.
    Unanswered = 4,
    /// The handshake was not completed in time; found by the agent.
    HandshakeTimeout = 5,
    /// Silence for too long; found by the agent.
    IdleTimeout = 6,
    /// The agent reset both ends: the backend failed.
    BackendDown = 7,
    /// The agent reset both ends: the backend's time to drain was over.
    Drained = 8,
    /// The agent reset both ends: the connection was old.
    MaxAge = 9,
    /// The program forwards what user space has accepted: the agent's sockets have nothing more to do.
    HandedOver = 10,
}

impl Change {
    pub const ALL: &[Self] = &[
        Self::Opened,
        Self::Finished,
        Self::ResetByClient,
        Self::ResetByBackend,
        Self::Unanswered,
        Self::HandshakeTimeout,
        Self::IdleTimeout,
        Self::BackendDown,
        Self::Drained,
        Self::MaxAge,
        Self::HandedOver,
    ];

    /// The connection is over.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Opened | Self::HandedOver)
    }

    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Finished => "finished",
            Self::ResetByClient => "reset_by_client",
            Self::ResetByBackend => "reset_by_backend",
            Self::Unanswered => "unanswered",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::BackendDown => "backend_down",
            Self::Drained => "drained",
            Self::MaxAge => "max_age",
            Self::HandedOver => "handed_over",
        }
    }
}

/// A connection as it stands at one moment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// Whole IP packets' bytes.
    pub bytes_to_backend: u64,
    pub bytes_to_client: u64,
    pub client: Addr,
    pub backend: Addr,
    /// Modulo 2^32, as the flow table counts them.
    pub packets_to_backend: u32,
    pub packets_to_client: u32,
    pub opened: Stamp,
    pub at: Stamp,
    pub client_port: Port,
    pub backend_port: Port,
    /// The port that the client connected to.
    pub listen: Port,
    /// The source port towards the backend.
    pub source_port: Port,
    pub local: LocalId,
    pub backend_id: BackendId,
    /// A [`Change`]; a number, because a newer program may say what this agent does not know.
    pub change: u16,
    pub padding: u16,
}

/// A connection's two entries, sorted by direction.
#[derive(Clone, Copy)]
pub struct Halves<'a> {
    pub to_backend: &'a Flow,
    pub to_client: &'a Flow,
    pub local: LocalId,
}

impl<'a> Halves<'a> {
    #[inline(always)]
    pub const fn of(flow: &'a Flow, twin: &'a Flow, local: LocalId) -> Self {
        match flow.direction {
            Direction::ToBackend => Self { to_backend: flow, to_client: twin, local },
            Direction::ToClient => Self { to_backend: twin, to_client: flow, local },
        }
    }
}

impl FlowEvent {
    #[inline(always)]
    pub const fn new(change: Change, halves: &Halves<'_>, at: Stamp) -> Self {
        let Halves { to_backend, to_client, local } = *halves;
        Self {
            bytes_to_backend: to_backend.bytes,
            bytes_to_client: to_client.bytes,
            client: to_client.peer,
            backend: to_backend.peer,
            packets_to_backend: to_backend.packets,
            packets_to_client: to_client.packets,
            opened: to_backend.opened,
            at,
            client_port: to_client.peer_port,
            backend_port: to_backend.peer_port,
            listen: to_client.own_port,
            source_port: to_backend.own_port,
            local,
            backend_id: to_backend.backend,
            change: change as u16,
            padding: 0,
        }
    }

    /// `None` for one that this version does not know.
    pub fn change(&self) -> Option<Change> {
        Change::ALL.iter().copied().find(|change| *change as u16 == self.change)
    }
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: `repr(C)` over integers with its padding named: any bytes are a value.
    unsafe impl aya::Pod for super::FlowEvent {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<FlowEvent>() == 80 && align_of::<FlowEvent>() == 8);

    #[test]
    fn numbers_and_names_are_unique() {
        for (index, change) in Change::ALL.iter().enumerate() {
            assert_eq!(*change as usize, index);
            assert!(!Change::ALL[..index].iter().any(|other| other.as_str() == change.as_str()));
        }
    }
}
