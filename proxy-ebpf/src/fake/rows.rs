//! Frames that are not forwarded, for the core and for the program in the kernel.

extern crate std;

use std::vec::Vec;

use proxy_common::{addr::Family, reason::Reason};

use super::{CLIENT, CLIENT6, LISTEN, PROXY, PROXY6, Tcp, frame};
use crate::parse::Flags;

/// Frames for the open connection of `client_port` that are not forwarded, and why; one that is
/// dropped or passed on is the frame that came.
pub fn not_forwarded(family: Family, client_port: u16) -> Vec<(&'static str, Vec<u8>, Reason)> {
    let (client, proxy, rows): (_, _, &[Row]) = match family {
        Family::V4 => (CLIENT, PROXY, &ROWS_V4),
        Family::V6 => (CLIENT6, PROXY6, &ROWS_V6),
    };
    let good = Tcp::new((client, client_port), (proxy, LISTEN), Flags::ACK).frame().bytes();
    let spoilt = |(description, change, reason): &Row| {
        let mut frame = good.clone();
        change(&mut frame);
        if *reason != Reason::BadChecksum {
            frame::sum_again(&mut frame);
        }
        (*description, frame, *reason)
    };
    rows.iter().map(spoilt).collect()
}

type Row = (&'static str, fn(&mut Vec<u8>), Reason);

const ROWS_V4: [Row; 19] = [
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
    ("TCP options beyond the packet", |f| f[46] = 0x60, Reason::Malformed),
    ("cut off inside the TCP header", |f| f.truncate(50), Reason::Malformed),
    ("a header of another sum", |f| f[24] ^= 1, Reason::BadChecksum),
    ("another source than was summed", |f| f[29] ^= 1, Reason::BadChecksum),
    ("of no life at all", |f| f[22] = 0, Reason::TtlExpired),
    ("at the end of its life", |f| f[22] = 1, Reason::TtlExpired),
];

const ROWS_V6: [Row; 19] = [
    ("IPv6: UDP", |f| f[20] = 17, Reason::NotTcp),
    ("IPv6: ICMPv6", |f| f[20] = 58, Reason::NotTcp),
    ("IPv6: version 4 in an IPv6 frame", |f| f[14] = 0x45, Reason::NotTcp),
    ("IPv6: for another address", |f| f[53] ^= 1, Reason::NotOurs),
    ("IPv6: for another port", |f| f[57] ^= 1, Reason::OtherPort),
    ("IPv6: from another port", |f| f[55] ^= 1, Reason::UnknownFlow),
    ("IPv6: hop-by-hop options", |f| f[20] = 0, Reason::IpOptions),
    ("IPv6: destination options", |f| f[20] = 60, Reason::IpOptions),
    ("IPv6: routing header", |f| f[20] = 43, Reason::IpOptions),
    ("IPv6: authentication header", |f| f[20] = 51, Reason::IpOptions),
    ("IPv6: mobility header", |f| f[20] = 135, Reason::IpOptions),
    ("IPv6: fragment", |f| f[20] = 44, Reason::Fragment),
    ("IPv6: shorter than it says", |f| f[19] += 1, Reason::Malformed),
    ("IPv6: no room for a TCP header", |f| f[19] = 19, Reason::Malformed),
    ("IPv6: TCP header too short", |f| f[66] = 0x40, Reason::Malformed),
    ("IPv6: TCP options beyond the packet", |f| f[66] = 0x60, Reason::Malformed),
    ("IPv6: cut off inside the TCP header", |f| f.truncate(70), Reason::Malformed),
    ("IPv6: of no life at all", |f| f[21] = 0, Reason::TtlExpired),
    ("IPv6: at the end of its life", |f| f[21] = 1, Reason::TtlExpired),
];
