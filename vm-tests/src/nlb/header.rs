//! Headers of the PROXY protocol, version 2, field by field as a Network Load Balancer writes them.

use std::net::SocketAddrV4;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: [u8; 2] = [0x20, 0x00];
const TCP_OVER_IPV4: [u8; 2] = [0x21, 0x11];

const CHECKSUM: u8 = 0x03;
const NOTHING: u8 = 0x04;
const AWS: u8 = 0xea;
const AWS_VPCE: u8 = 0x01;
/// What is left of the room that it has made for fields.
const REST: [u8; 36] = [0; 36];

/// For a connection that came from there to the load balancer's address.
pub(super) fn of_client(from: SocketAddrV4, to: SocketAddrV4, vpce: &str) -> Vec<u8> {
    let addresses = [from.ip().octets(), to.ip().octets()].concat();
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let id = [&[AWS_VPCE], vpce.as_bytes()].concat();
    let fields = [field(AWS, &id), field(NOTHING, &REST)].concat();
    sealed(TCP_OVER_IPV4, &[addresses, ports].concat(), &fields)
}

/// For one of the load balancer's own.
pub(super) fn local() -> Vec<u8> {
    sealed(LOCAL, &[], &field(NOTHING, &REST))
}

/// Of so many bytes, a connection's that came from nowhere known, or one of its own; `None` where no
/// field is so short.
pub(super) fn of_length(length: usize) -> Option<Vec<u8>> {
    const NOWHERE: [u8; 12] = [0; 12];
    const FRONT: usize = 16;
    let (kind, addresses) = match length {
        28 | 31.. => (TCP_OVER_IPV4, NOWHERE.as_slice()),
        _ => (LOCAL, [].as_slice()),
    };
    let rest = match length.checked_sub(FRONT + addresses.len())? {
        0 => Vec::new(),
        room => field(NOTHING, &vec![0; room.checked_sub(3)?]),
    };
    let behind = u16::try_from(addresses.len() + rest.len()).ok()?.to_be_bytes();
    Some([SIGNATURE.as_slice(), &kind, &behind, addresses, &rest].concat())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value").to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

fn sealed(kind: [u8; 2], addresses: &[u8], fields: &[u8]) -> Vec<u8> {
    let checksum = field(CHECKSUM, &[0; 4]);
    let length = u16::try_from(addresses.len() + checksum.len() + fields.len());
    let length = length.expect("a short header").to_be_bytes();
    let front = [SIGNATURE.as_slice(), &kind, &length, addresses, &checksum].concat();
    let end_of_sum = front.len();
    let mut header = [front.as_slice(), fields].concat();
    let sum = crc32c::crc32c(&header).to_be_bytes();
    header[end_of_sum - sum.len()..end_of_sum].copy_from_slice(&sum);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As AWS's wrote it for a connection through PrivateLink.
    const CAPTURED: &[u8] = include_bytes!("../../../proxy-user/fuzz/seeds/header/privatelink");

    #[test]
    fn a_header_is_byte_for_byte_that_of_a_network_load_balancer() {
        let from = "172.31.7.113:51442".parse().expect("an address");
        let to = "172.31.10.31:80".parse().expect("an address");
        assert_eq!(of_client(from, to, "vpce-08d2bf15fac5001c9"), CAPTURED);
    }

    #[test]
    fn a_header_is_as_long_as_it_is_to_be_and_says_so() {
        for length in (16..=600).filter(|length| ![17, 18].contains(length)) {
            let header = of_length(length).expect("a header");
            let behind = u16::from_be_bytes([header[14], header[15]]);
            assert_eq!((header.len(), usize::from(behind)), (length, length - 16));
        }
        assert_eq!([0, 15, 17, 18].map(of_length), [None, None, None, None]);
    }
}
