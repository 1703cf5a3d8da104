//! What the programs count besides packets and refusals. Numbers are places in a pinned map: a
//! counter keeps its number for ever.

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Flow events for which the ring buffer had no room.
    EventsLost = 0,
    /// SYNs whose maximum segment size was lowered.
    MssClamped = 1,
    /// Connections that were accepted in user space and are forwarded now.
    HandedOver = 2,
    /// Packets that the agent's own sockets sent of a connection that is forwarded, and that were
    /// dropped.
    Guarded = 3,
}

impl Counter {
    pub const ALL: &[Self] = &[Self::EventsLost, Self::MssClamped, Self::HandedOver, Self::Guarded];
}

/// Places in the map: room to grow without a new layout.
pub const MAX_COUNTERS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_fit_the_map() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            assert!((*counter as u32) < MAX_COUNTERS);
        }
    }
}
