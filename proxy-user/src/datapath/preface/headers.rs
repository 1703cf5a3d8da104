//! Several headers in a row: each proxy on the way may have written its own in front of the bytes
//! that it was given.

use super::{
    header::{self, Header, Signature},
    refused::Refused,
};

/// A load balancer, another in front of it, and some to spare.
const MOST: usize = 4;

/// All the headers that lead the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Written last, by the load balancer next to us; those behind it may be the client's own
    /// invention.
    pub first: Header,
    /// Of all together, in bytes.
    pub length: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Within a header.
    Incomplete,
    /// What has come since may still become another header.
    Open(Headers),
    /// What follows is the client's.
    Closed(Headers),
}

pub fn leading(bytes: &[u8]) -> Result<Leading, Refused> {
    let Some((first, length)) = header::parse(bytes)? else { return Ok(Leading::Incomplete) };
    let mut headers = Headers { first, length };
    for count in 1.. {
        let rest = &bytes[headers.length..];
        match header::signature(rest) {
            Signature::No => break,
            Signature::Perhaps => return Ok(Leading::Open(headers)),
            Signature::Yes if count == MOST => return Err(Refused::HeadersTooMany),
            Signature::Yes => {}
        }
        match header::parse(rest)? {
            Some((_, length)) => headers.length += length,
            None => return Ok(Leading::Incomplete),
        }
    }
    Ok(Leading::Closed(headers))
}
