//! Backends, the set that new connections choose from, and what is counted for each.

use crate::addr::{Addr, Family, Port};

/// Backends of each family in one set. EKS has 2–4 control-plane ENIs; an answer that holds more
/// is cut.
pub const MAX_BACKENDS: usize = 64;
/// Backends that flows can refer to at one time, live or on their way out.
pub const MAX_BACKEND_IDS: u32 = 256;

/// Names a backend in flow entries and counters for as long as any flow refers to it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u16);

impl BackendId {
    /// Nobody's: above every id. For the programs, whose verifier dislikes an `Option`'s unset half.
    pub const NONE: Self = Self(u16::MAX);
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    pub address: Addr,
    pub port: Port,
    pub id: BackendId,
}

/// The live backends, all of one snapshot.
///
/// There are two of these; [`crate::config::ActiveSet`] says which one is in force. The agent
/// fills the other and then changes that one word: a program sees the old set or the new one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendSet {
    /// The snapshot's generation.
    pub generation: u64,
    families: [Choices; 2],
}

/// The backends of one family: a connection stays within its client's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// How many of `backends` are in use, from the first.
    pub len: u32,
    pub backends: [Backend; MAX_BACKENDS],
}

impl BackendSet {
    /// Takes as many as there is room for; the caller warns of the others.
    pub fn new(generation: u64, live: impl IntoIterator<Item = Backend>) -> Self {
        let none = Choices { len: 0, backends: [Backend::default(); MAX_BACKENDS] };
        let mut set = Self { generation, families: [none; 2] };
        for backend in live {
            set.families[backend.address.family() as usize].add(backend);
        }
        set
    }

    #[inline(always)]
    pub const fn of(&self, family: Family) -> &Choices {
        match family {
            Family::V4 => &self.families[0],
            Family::V6 => &self.families[1],
        }
    }

    pub fn live(&self) -> impl Iterator<Item = &Backend> {
        self.families.iter().flat_map(Choices::live)
    }
}

impl Choices {
    fn add(&mut self, backend: Backend) {
        if let Some(free) = self.backends.get_mut(self.len as usize) {
            *free = backend;
            self.len += 1;
        }
    }

    fn live(&self) -> &[Backend] {
        &self.backends[..(self.len as usize).min(MAX_BACKENDS)]
    }
}

/// Counted per CPU, without atomics.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendTraffic {
    /// IP packets and their bytes, client to backend.
    pub packets_to_backend: u64,
    pub bytes_to_backend: u64,
    /// IP packets and their bytes, backend to client.
    pub packets_to_client: u64,
    pub bytes_to_client: u64,
}

/// Flows that the program opened and saw end; shared by all CPUs, under the lock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendLoad {
    pub lock: bpf_spin_lock,
    pub padding: u32,
    pub opened: u64,
    pub closed: u64,
}

/// `struct bpf_spin_lock` of linux/bpf.h; the kernel finds it in a map's value by this name.
#[allow(non_camel_case_types, reason = "the kernel's name")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bpf_spin_lock {
    val: u32,
}

impl bpf_spin_lock {
    pub const UNLOCKED: Self = Self { val: 0 };
}

#[cfg(feature = "user")]
mod pod {
    #![allow(unsafe_code, reason = "aya asks for a promise that a type is plain old data")]
    // SAFETY: each is `repr(C)` over integers with its padding named: any bytes are a value.
    unsafe impl aya::Pod for super::Backend {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BackendSet {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BackendTraffic {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BackendLoad {}
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    const _: () = assert!(size_of::<Backend>() == 20 && align_of::<Backend>() == 4);
    const _: () = assert!(size_of::<BackendSet>() == 8 + 2 * (4 + MAX_BACKENDS * 20));

    fn backend(id: usize, address: IpAddr) -> Backend {
        Backend {
            address: address.into(),
            port: Port::new(443),
            id: BackendId(u16::try_from(id).unwrap()),
        }
    }

    #[test]
    fn a_set_takes_the_first_backends_and_no_more_than_it_holds() {
        let v4 = IpAddr::from([10, 0, 21, 1]);
        let set = BackendSet::new(7, (0..MAX_BACKENDS + 5).map(|id| backend(id, v4)));
        assert_eq!(set.live().count(), MAX_BACKENDS);
        assert_eq!(set.of(Family::V4).backends[3].id, BackendId(3));
        assert_eq!(BackendSet::new(8, []).live().count(), 0);
    }

    #[test]
    fn each_family_has_its_own_choices() {
        let v4 = backend(1, IpAddr::from([10, 0, 21, 1]));
        let v6 = backend(2, IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
        let set = BackendSet::new(1, [v6, v4]);
        assert_eq!((set.of(Family::V4).len, set.of(Family::V4).backends[0]), (1, v4));
        assert_eq!((set.of(Family::V6).len, set.of(Family::V6).backends[0]), (1, v6));
    }
}
