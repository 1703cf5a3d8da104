//! The server name in a ClientHello, which may come in any number of pieces and TLS records.

use std::{fmt, io::Read};

use rustls::{Error, InvalidMessage, server::Acceptor};

use super::refused::Refused;

/// The content type of a handshake and the first half of every version since SSL 3.0 (RFC 8446,
/// section 5.1).
const HANDSHAKE: [u8; 2] = [22, 3];

/// In lower case, without the root's dot; of letters, digits, hyphens, underscores and dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName(Box<str>);

impl ServerName {
    fn new(name: &str) -> Self {
        Self(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Incomplete,
    Whole(Option<ServerName>),
}

/// Its bound is rustls's, which keeps at most 65,535 bytes of a handshake message and its records.
#[derive(Default)]
pub struct Hello {
    /// None before the first byte: most memory of a connection that says nothing would be this.
    acceptor: Option<Box<Acceptor>>,
    fed: usize,
}

impl Hello {
    /// `bytes`: all that has come, what was heard already too.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Heard, Refused> {
        if bytes.iter().zip(HANDSHAKE).any(|(byte, handshake)| *byte != handshake) {
            return Err(Refused::NotTls);
        }
        while let Some(new) = bytes.get(self.fed..).filter(|new| !new.is_empty()) {
            let acceptor = self.acceptor.get_or_insert_default();
            let (taken, heard) = feed(acceptor, new)?;
            if heard != Heard::Incomplete {
                return Ok(heard);
            }
            self.fed += taken;
        }
        Ok(Heard::Incomplete)
    }
}

fn feed(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<(usize, Heard), Refused> {
    // Its only error is that it has no more room.
    let taken =
        acceptor.read_tls(&mut bytes as &mut dyn Read).map_err(|_| Refused::HelloTooLong)?;
    match acceptor.accept() {
        Ok(None) => Ok((taken, Heard::Incomplete)),
        Ok(Some(hello)) => {
            let name = hello.client_hello().server_name().map(ServerName::new);
            Ok((taken, Heard::Whole(name)))
        }
        Err((Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge), _)) => {
            Err(Refused::HelloTooLong)
        }
        Err(_) => Err(Refused::HelloMalformed),
    }
}

#[cfg(test)]
pub mod tests;
