//! Bytes that the tests have in common.

use std::{io, sync::Arc};

use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Captured behind a Network Load Balancer of AWS: a consumer of PrivateLink, a checksum, the id of
/// the consumer's endpoint, padding.
pub const CAPTURED: &[u8] = include_bytes!("../../../fuzz/seeds/header/privatelink");
/// Where the type of its checksum's field stands.
pub const CAPTURED_CHECKSUM: usize = 28;

pub const LOCAL: u8 = 0x20;
pub const PROXY: u8 = 0x21;

/// From 10.0.0.1:51200 to 10.0.0.2:443.
pub const V4: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0xc8, 0, 1, 0xbb];
pub const TCP4: u8 = 0x11;
pub const TCP6: u8 = 0x21;

pub fn header(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, payload].concat()
}

pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// With a checksum in front of the other fields.
pub fn sealed(command: u8, family: u8, addresses: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let with = |sum: [u8; 4]| header(command, family, &[addresses, &tlv(3, &sum), tlvs].concat());
    with(crc32c::crc32c(&with([0; 4])).to_be_bytes())
}

pub fn client_hello(name: &str) -> Vec<u8> {
    client_hello_offering(name, Vec::new())
}

/// Of about 250 bytes for each protocol, and 200 more.
pub fn big_client_hello(name: &str, protocols: u8) -> Vec<u8> {
    client_hello_offering(name, (0..protocols).map(|n| vec![n; 250]).collect())
}

fn client_hello_offering(name: &str, alpn: Vec<Vec<u8>>) -> Vec<u8> {
    let mut config = config();
    config.alpn_protocols = alpn;
    let mut client = ClientConnection::new(Arc::new(config), of_rustls(name)).unwrap();
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A whole handshake, as far as the other end lets it come.
pub async fn connect(stream: TcpStream, name: &str) -> io::Result<()> {
    TlsConnector::from(Arc::new(config())).connect(of_rustls(name), stream).await.map(drop)
}

fn config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn of_rustls(name: &str) -> pki_types::ServerName<'static> {
    pki_types::ServerName::try_from(name.to_owned()).unwrap()
}

/// The same handshake message in records of so many bytes.
pub fn in_records_of(size: usize, hello: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rest = hello;
    while let Some((&[_, _, _, high, low], behind)) = rest.split_first_chunk() {
        let (payload, next) = behind.split_at(usize::from(u16::from_be_bytes([high, low])));
        message.extend_from_slice(payload);
        rest = next;
    }
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&hello[..3], &length, part].concat()
    };
    message.chunks(size).flat_map(record).collect()
}
