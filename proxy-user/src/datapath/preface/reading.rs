//! From the first byte to the end of what was wanted, without a socket.

use super::{
    header::{Consumer, Header},
    headers::{Headers, Leading, leading},
    hello::{Heard, Hello, ServerName},
    refused::Refused,
};

/// What a client said first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preface {
    /// Who the load balancer says has connected; `None` where it does not say.
    pub consumer: Option<Consumer>,
    /// The load balancer opened the connection for itself.
    pub is_local: bool,
    /// `None` where none was wanted, or the client sent none.
    pub server_name: Option<ServerName>,
    /// The client's own bytes, to be written to the backend first.
    pub read: Vec<u8>,
}

/// What happened to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The buffer has grown.
    Bytes,
    /// The client sends no more.
    End,
    /// The time is over.
    Late,
}

pub struct Reading {
    stage: Stage,
    wants_name: bool,
    buffer: Vec<u8>,
}

enum Stage {
    Headers,
    /// The headers have left the buffer.
    Body {
        first: Option<Header>,
        hello: Hello,
    },
}

impl Reading {
    pub fn new(wants_headers: bool, wants_name: bool) -> Self {
        let stage = if wants_headers { Stage::Headers } else { Stage::body(None) };
        Self { stage, wants_name, buffer: Vec::new() }
    }

    /// Where bytes are appended, with [`News::Bytes`] afterwards.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// `None`: tell more. Not to be called again after anything else.
    pub fn hear(&mut self, news: News) -> Result<Option<Preface>, Refused> {
        if let Stage::Headers = self.stage {
            let Some(headers) = self.headers(news)? else { return Ok(None) };
            self.buffer.drain(..headers.length);
            self.stage = Stage::body(Some(headers.first));
        }
        self.body(news)
    }

    fn headers(&self, news: News) -> Result<Option<Headers>, Refused> {
        match (leading(&self.buffer)?, news) {
            (Leading::Closed(headers), _) => Ok(Some(headers)),
            (_, News::Bytes) => Ok(None),
            (Leading::Open(headers), _) => self.settle(headers, news).map(Some),
            (Leading::Incomplete, News::End) if self.buffer.is_empty() => Err(Refused::SaidNothing),
            (Leading::Incomplete, News::End) => Err(Refused::HeaderTruncated),
            (Leading::Incomplete, News::Late) => Err(Refused::HeaderTimeout),
        }
    }

    /// No further header will come. Bytes that might have become one are the client's.
    fn settle(&self, headers: Headers, news: News) -> Result<Headers, Refused> {
        let has_bytes = self.buffer.len() > headers.length;
        match (&headers.first, news) {
            _ if has_bytes => Ok(headers),
            (Header::Local, _) => Err(Refused::HealthCheck),
            (_, News::End) => Err(Refused::SaidNothing),
            // Perhaps the server is to speak first.
            _ => Ok(headers),
        }
    }

    fn body(&mut self, news: News) -> Result<Option<Preface>, Refused> {
        let Stage::Body { first, hello } = &mut self.stage else { return Ok(None) };
        let server_name = if self.wants_name {
            match (hello.hear(&self.buffer)?, news) {
                (Heard::Whole(name), _) => name,
                (Heard::Incomplete, News::Bytes) => return Ok(None),
                (Heard::Incomplete, News::End) if self.buffer.is_empty() => {
                    return Err(Refused::SaidNothing);
                }
                (Heard::Incomplete, News::End) => return Err(Refused::HelloTruncated),
                (Heard::Incomplete, News::Late) => return Err(Refused::HelloTimeout),
            }
        } else {
            None
        };
        Ok(Some(Preface::new(first.take(), server_name, std::mem::take(&mut self.buffer))))
    }
}

impl Stage {
    fn body(first: Option<Header>) -> Self {
        Self::Body { first, hello: Hello::default() }
    }
}

impl Preface {
    fn new(header: Option<Header>, server_name: Option<ServerName>, read: Vec<u8>) -> Self {
        let is_local = header == Some(Header::Local);
        let consumer = match header {
            Some(Header::Proxied(consumer)) => Some(consumer),
            _ => None,
        };
        Self { consumer, is_local, server_name, read }
    }
}

#[cfg(test)]
mod tests;
