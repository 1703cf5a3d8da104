//! How often the kernel is asked.

use core::net::Ipv4Addr;

use proxy_common::{
    addr::{Addr, Family},
    config::LocalId,
    reason::Reason,
};

use crate::{
    checksum::Change,
    environment::Environment as _,
    fake::{FakeEnvironment, IFINDEX, PROXY},
    packet::{Exit, Header, Hop, Leaving, Packet, PatchError},
};

/// A kernel whose every answer is another one.
struct Kernel {
    asked: u16,
    mtu: Option<u16>,
}

const MTU: u16 = 1_500;

impl Kernel {
    const fn new() -> Self {
        Self { asked: 0, mtu: Some(MTU) }
    }
}

impl Packet for Kernel {
    fn head<H: Header>(&mut self) -> Option<&mut H> {
        None
    }

    fn frame_len(&self) -> u32 {
        0
    }

    fn patch_checksum(&mut self, _: usize, _: Change, _: Change) -> Result<(), PatchError> {
        Err(PatchError)
    }
}

impl Leaving for Kernel {
    fn find_exit(&mut self, exit: &Exit<'_>) -> Result<Hop, Reason> {
        self.asked += 1;
        let largest = self.mtu.unwrap_or(exit.bytes as u16);
        if exit.bytes > u32::from(largest) {
            return Err(Reason::NoExit);
        }
        Ok(Hop { source: [self.asked; 3], destination: [self.asked; 3], largest })
    }
}

#[derive(Clone, Copy)]
struct To {
    local: LocalId,
    destination: Addr,
    bytes: u32,
}

fn to(last: u8, bytes: u32) -> To {
    To { local: LocalId(0), destination: Ipv4Addr::new(10, 0, 21, last).into(), bytes }
}

fn find(kernel: &mut Kernel, to: To, environment: &FakeEnvironment) -> Result<Hop, Reason> {
    let exit = Exit {
        family: Family::V4,
        local: to.local,
        source: &PROXY.into(),
        destination: &to.destination,
        bytes: to.bytes,
        ifindex: IFINDEX,
    };
    super::find(kernel, &exit, environment.now(), environment)
}

/// The number of the answer that one of these gets.
fn answer(kernel: &mut Kernel, to: To, environment: &FakeEnvironment) -> u16 {
    find(kernel, to, environment).expect("a way out").destination[0]
}

#[test]
fn an_answer_serves_all_packets_to_its_address_for_a_tenth_of_a_second() {
    let (mut kernel, environment) = (Kernel::new(), FakeEnvironment::with_enis(1));
    for bytes in [40, 1_500, 52] {
        assert_eq!(answer(&mut kernel, to(1, bytes), &environment), 1);
    }
    environment.wait(90);
    assert_eq!(answer(&mut kernel, to(1, 40), &environment), 1);
    environment.wait(15);
    assert_eq!(answer(&mut kernel, to(1, 40), &environment), 2);
    environment.wait(90);
    assert_eq!(answer(&mut kernel, to(1, 40), &environment), 2, "it is as old as the second");
}

#[test]
fn nothing_else_gets_it() {
    let (mut kernel, environment) = (Kernel::new(), FakeEnvironment::with_enis(1));
    assert_eq!(answer(&mut kernel, to(1, 40), &environment), 1);
    assert_eq!(answer(&mut kernel, to(2, 40), &environment), 2, "another address");
    let from_another = To { local: LocalId(1), ..to(1, 40) };
    assert_eq!(answer(&mut kernel, from_another, &environment), 3, "another source");
    assert_eq!(find(&mut kernel, to(2, 1_501), &environment), Err(Reason::NoExit), "too long");
    assert_eq!(kernel.asked, 4);
}

#[test]
fn where_the_kernel_tells_no_mtu_more_bytes_are_asked_for() {
    let environment = FakeEnvironment::with_enis(1);
    let mut kernel = Kernel { mtu: None, ..Kernel::new() };
    let answers =
        [100, 1_400, 1_400, 60].map(|bytes| answer(&mut kernel, to(1, bytes), &environment));
    assert_eq!(answers, [1, 2, 2, 2]);
}

#[test]
fn addresses_that_share_a_place_never_share_an_answer() {
    let (mut kernel, environment) = (Kernel::new(), FakeEnvironment::with_enis(1));
    let shares =
        |last: &u8| super::place(to(*last, 0).destination) == super::place(to(1, 0).destination);
    let far = (0..=u16::MAX).map(|n| {
        let [a, b] = n.to_be_bytes();
        To { destination: Ipv4Addr::new(10, 9, a, b).into(), ..to(1, 40) }
    });
    assert_eq!((2..=255).filter(shares).count(), 0, "neighbours lie apart");
    let same =
        far.filter(|far| super::place(far.destination) == super::place(to(1, 0).destination));
    for sharer in same.take(10) {
        let first = answer(&mut kernel, to(1, 40), &environment);
        let other = answer(&mut kernel, sharer, &environment);
        assert_ne!(first, other);
    }
    assert_eq!(kernel.asked, 20);
}
