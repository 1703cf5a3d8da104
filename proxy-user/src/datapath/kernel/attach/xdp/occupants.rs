//! Who sits at XDP of a link, by rtnetlink: the one answer that knows of programs with a link of
//! BPF and without.

use std::{collections::BTreeSet, io, iter, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// linux/rtnetlink.h and linux/netlink.h.
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
/// Of `struct nlmsghdr` and of `struct ifinfomsg`.
const HEADER: usize = 16;
const INFO: usize = 16;
/// linux/if_link.h: the whole, and in it the program of the one mode, or of each of several.
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_IDS: std::ops::RangeInclusive<u16> = 4..=7;
/// Above the two bits that say how a payload is written.
const TYPE: u16 = 0x3fff;
const LONGEST: usize = 64 * 1024;

/// Ids of the programs there, in whatever mode.
pub fn occupants(ifindex: u32) -> io::Result<BTreeSet<u32>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    send(socket.as_raw_fd(), &request(ifindex), MsgFlags::empty())?;
    let mut answer = vec![0; LONGEST];
    let len = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    programs(&answer[..len])
        .ok_or_else(|| io::Error::other(format!("the kernel does not tell of link {ifindex}")))
}

fn request(ifindex: u32) -> [u8; HEADER + INFO] {
    let mut request = [0; HEADER + INFO];
    let len = u32::try_from(request.len()).unwrap_or_default();
    request[..4].copy_from_slice(&len.to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request[HEADER + 4..HEADER + 8].copy_from_slice(&ifindex.to_ne_bytes());
    request
}

/// `None` if it is not about a link.
fn programs(message: &[u8]) -> Option<BTreeSet<u32>> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    if kind != RTM_NEWLINK {
        return None;
    }
    let xdp = attributes(message.get(HEADER + INFO..)?).filter(|(kind, _)| *kind == IFLA_XDP);
    let ids = xdp.flat_map(|(_, nested)| attributes(nested)).filter_map(|(kind, value)| {
        let id = u32::from_ne_bytes(value.try_into().ok()?);
        IFLA_XDP_PROG_IDS.contains(&kind).then_some(id)
    });
    Some(ids.collect())
}

/// Type and payload of each, up to one that makes no sense.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let payload = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & TYPE, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NESTED: u16 = 0x8000;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + payload.len()).unwrap();
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn about_a_link(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut message = vec![0; HEADER + INFO];
        message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
        message.extend(attributes.concat());
        message
    }

    #[test]
    fn the_programs_of_every_mode_are_found_among_the_other_attributes() {
        let xdp = [
            attribute(2, &[4]),
            attribute(5, &7_u32.to_ne_bytes()),
            attribute(6, &9_u32.to_ne_bytes()),
            attribute(3, &1_u32.to_ne_bytes()),
        ];
        let message = about_a_link(&[
            attribute(3, b"eth0\0"),
            attribute(IFLA_XDP | NESTED, &xdp.concat()),
            attribute(4, &1500_u32.to_ne_bytes()),
        ]);
        assert_eq!(programs(&message), Some(BTreeSet::from([7, 9])));
    }

    #[test]
    fn a_link_without_a_program_has_none_and_an_error_is_no_link() {
        let nobody = about_a_link(&[attribute(IFLA_XDP | NESTED, &attribute(2, &[0]))]);
        assert_eq!(programs(&nobody), Some(BTreeSet::new()));
        assert_eq!(programs(&[0; 36]), None);
        assert_eq!(occupants(1).unwrap(), BTreeSet::new(), "loopback");
        assert!(occupants(u32::MAX >> 1).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(rest in any::<Vec<u8>>()) {
            let _ = programs(&about_a_link(&[rest]));
        }
    }
}
