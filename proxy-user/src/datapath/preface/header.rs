//! One header of the PROXY protocol, version 2 (HAProxy's proxy-protocol.txt, section 2.2). All
//! numbers are in network byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{refused::Refused, tlv::Tlvs};
use crate::config::VpceId;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and protocol, the length of the rest.
const FIXED: usize = 16;
/// The protocol allows 65,551 bytes, for each connection, from anybody who reaches the port. A load
/// balancer of AWS writes about a hundred.
const LONGEST: usize = 4096;
const ADDRESSES_V4: usize = 12;
const ADDRESSES_V6: usize = 36;
const ADDRESSES_UNIX: usize = 216;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The load balancer speaks for itself: a health check.
    Local,
    /// The sender does not say for whom: the connection's own addresses hold.
    Unspecified,
    Proxied(Consumer),
}

/// Who has opened the connection at the load balancer, as the load balancer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// The endpoint in the consumer's VPC, where it came through PrivateLink.
    pub vpce: Option<VpceId>,
}

/// Do the bytes begin with a signature?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Yes,
    No,
    /// More bytes will tell.
    Perhaps,
}

/// By the second byte of a header, of which the first says that there are addresses.
enum Family {
    Unspecified,
    Tcp4,
    Tcp6,
}

pub fn signature(bytes: &[u8]) -> Signature {
    if bytes.starts_with(&SIGNATURE) {
        Signature::Yes
    } else if SIGNATURE.starts_with(bytes) {
        Signature::Perhaps
    } else {
        Signature::No
    }
}

/// The header that the bytes begin with, and its length; `None` while more bytes are needed.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Refused> {
    if signature(bytes) == Signature::No {
        return Err(Refused::HeaderMissing);
    }
    let Some(&[.., version_and_command, family, high, low]) = bytes.first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let read = reader(version_and_command, family)?;
    if length > LONGEST {
        return Err(Refused::HeaderTooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    read(header).map(|header| Some((header, length)))
}

type Reader = fn(&[u8]) -> Result<Header, Refused>;

fn reader(version_and_command: u8, family: u8) -> Result<Reader, Refused> {
    match (version_and_command >> 4, version_and_command & 0xf) {
        (2, 0) => Ok(local),
        (2, 1) => Ok(match Family::parse(family)? {
            Family::Unspecified => unspecified,
            Family::Tcp4 => tcp4,
            Family::Tcp6 => tcp6,
        }),
        (2, _) => Err(Refused::HeaderCommand),
        _ => Err(Refused::HeaderVersion),
    }
}

impl Family {
    fn parse(byte: u8) -> Result<Self, Refused> {
        match byte {
            0x00 => Ok(Self::Unspecified),
            0x11 => Ok(Self::Tcp4),
            0x21 => Ok(Self::Tcp6),
            _ => Err(Refused::HeaderFamily),
        }
    }
}

fn local(header: &[u8]) -> Result<Header, Refused> {
    let addresses = match header[FIXED - 3] >> 4 {
        1 => ADDRESSES_V4,
        2 => ADDRESSES_V6,
        3 => ADDRESSES_UNIX,
        _ => 0,
    };
    check_if_it_can_be(header, FIXED + addresses).map(|()| Header::Local)
}

fn unspecified(header: &[u8]) -> Result<Header, Refused> {
    check_if_it_can_be(header, FIXED).map(|()| Header::Unspecified)
}

/// What follows is to be skipped, whatever it is. But a checksum in it is checked: one flipped bit
/// turns a consumer's header into the load balancer's own.
fn check_if_it_can_be(header: &[u8], tlvs_at: usize) -> Result<(), Refused> {
    match Tlvs::walk(header, tlvs_at) {
        Ok(tlvs) => tlvs.verify(),
        Err(_no_tlvs) => Ok(()),
    }
}

fn tcp4(header: &[u8]) -> Result<Header, Refused> {
    let ends = header[FIXED..].first_chunk::<ADDRESSES_V4>().ok_or(Refused::HeaderMalformed)?;
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = ends;
    let source = (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([i, j])).into();
    let destination = (Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([k, l])).into();
    proxied(header, FIXED + ADDRESSES_V4, source, destination)
}

fn tcp6(header: &[u8]) -> Result<Header, Refused> {
    let ends = header[FIXED..].first_chunk::<ADDRESSES_V6>().ok_or(Refused::HeaderMalformed)?;
    let address = |at: usize| {
        let bytes = std::array::from_fn::<u8, 16, _>(|index| ends[at + index]);
        IpAddr::from(Ipv6Addr::from(bytes))
    };
    let port = |at: usize| u16::from_be_bytes([ends[at], ends[at + 1]]);
    let source = SocketAddr::new(address(0), port(32));
    let destination = SocketAddr::new(address(16), port(34));
    proxied(header, FIXED + ADDRESSES_V6, source, destination)
}

fn proxied(
    header: &[u8],
    tlvs_at: usize,
    source: SocketAddr,
    destination: SocketAddr,
) -> Result<Header, Refused> {
    let tlvs = Tlvs::walk(header, tlvs_at)?;
    tlvs.verify()?;
    let vpce = tlvs.vpce()?;
    Ok(Header::Proxied(Consumer { source, destination, vpce }))
}

#[cfg(test)]
mod tests;
