//! The parsers of what strangers send, and what must hold of them for any bytes.
//!
//! Their files are included, in the same tree as in the agent: as a dependency the agent would be
//! built with its eBPF programs and a hundred crates, all instrumented, for a thousand lines.

#[allow(dead_code, reason = "what only the agent calls")]
#[path = "../../src/config"]
mod config {
    mod invalid;
    #[path = "values/vpce_id.rs"]
    mod vpce_id;

    pub use vpce_id::VpceId;
}

#[allow(dead_code, reason = "what only the agent calls")]
#[path = "../../src/datapath/preface"]
mod preface {
    mod header;
    mod headers;
    mod hello;
    pub mod reading;
    pub mod refused;
    mod tlv;
}

use preface::{
    reading::{News, Preface, Reading},
    refused::Refused,
};

#[derive(Clone, Copy)]
pub struct Wants {
    pub headers: bool,
    pub name: bool,
}

/// In two pieces the bytes mean what they mean as a whole, and none is lost or invented.
pub fn check(wants: Wants, bytes: &[u8]) {
    let whole = read(wants, &[bytes]);
    if let Ok(preface) = &whole {
        assert!(bytes.ends_with(&preface.read), "bytes were read that nobody sent");
    }
    let (first, rest) = bytes.split_at(cut(bytes));
    assert_eq!(read(wants, &[first, rest]), whole, "cut at {}", first.len());
}

/// Anywhere, but for the same bytes always at the same place.
fn cut(bytes: &[u8]) -> usize {
    usize::try_from(crc32c::crc32c(bytes)).unwrap_or_default() % (bytes.len() + 1)
}

/// After the last piece the client sends no more. Pieces that were not asked for count as read.
fn read(wants: Wants, pieces: &[&[u8]]) -> Result<Preface, Refused> {
    let mut reading = Reading::new(wants.headers, wants.name);
    for (index, piece) in pieces.iter().enumerate() {
        reading.buffer().extend_from_slice(piece);
        if let Some(mut preface) = reading.hear(News::Bytes)? {
            preface.read.extend(pieces[index + 1..].concat());
            return Ok(preface);
        }
    }
    reading.hear(News::End).map(|preface| preface.expect("the end is an answer to everything"))
}
