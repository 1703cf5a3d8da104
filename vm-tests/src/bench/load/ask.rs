//! What a client wants of the server: the first eight bytes of a connection.

use std::io;

use super::stream::invalid;

pub(crate) const ASK: usize = 8;
const MAGIC: [u8; 3] = *b"egl";
/// A server makes room for one message.
const LARGEST: u32 = 1 << 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Each message of so many bytes comes back.
    Echo { size: u32 },
    /// Bytes without end.
    Source,
    /// Takes bytes without end; each time so many more have come, eight bytes back say how many
    /// in all, big-endian.
    Sink { every: u32 },
    /// One byte, and then nothing.
    Hold,
}

impl Ask {
    /// For this message to come back.
    pub(crate) fn echo(message: &[u8]) -> Self {
        Self::Echo { size: u32::try_from(message.len()).unwrap_or(u32::MAX) }
    }

    pub(crate) fn encode(self) -> [u8; ASK] {
        let (kind, number) = match self {
            Self::Echo { size } => (b'e', size),
            Self::Source => (b's', 0),
            Self::Sink { every } => (b'k', every),
            Self::Hold => (b'h', 0),
        };
        let [a, b, c] = MAGIC;
        let [n0, n1, n2, n3] = number.to_be_bytes();
        [a, b, c, kind, n0, n1, n2, n3]
    }

    pub(crate) fn parse(bytes: [u8; ASK]) -> io::Result<Self> {
        let [a, b, c, kind, n0, n1, n2, n3] = bytes;
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        match kind {
            _ if [a, b, c] != MAGIC => {
                Err(invalid(format!("{bytes:?}: begins no request of ours")))
            }
            b's' => Ok(Self::Source),
            b'h' => Ok(Self::Hold),
            b'e' | b'k' if !(1..=LARGEST).contains(&number) => {
                Err(invalid(format!("{number} bytes: must be 1 to {LARGEST}")))
            }
            b'e' => Ok(Self::Echo { size: number }),
            b'k' => Ok(Self::Sink { every: number }),
            _ => Err(invalid(format!("{bytes:?}: asks for nothing we know"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_asks_is_what_the_server_reads() {
        for ask in [Ask::Echo { size: 64 }, Ask::Source, Ask::Sink { every: 1 << 20 }, Ask::Hold] {
            assert_eq!(Ask::parse(ask.encode()).expect("one of ours"), ask);
        }
    }

    #[test]
    fn strangers_and_sizes_without_sense_are_refused() {
        assert!(Ask::parse(*b"GET / HT").is_err());
        assert!(Ask::parse(Ask::Echo { size: 0 }.encode()).is_err());
        assert!(Ask::parse(Ask::Sink { every: u32::MAX }.encode()).is_err());
    }
}
