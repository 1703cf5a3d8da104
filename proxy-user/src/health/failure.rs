//! Why a probe failed, in words for the status.

use std::{fmt, io, time::Duration};

use hyper::StatusCode;
use jiff::Timestamp;
use rustls::{CertificateError, pki_types::UnixTime};

use super::judge::Outcome;
use crate::files::is_want_of_room;

/// How far a probe had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connection,
    Handshake,
    Answer,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{} within {limit:?}", stage.what_was_missing())]
    Timeout { stage: Stage, limit: Duration },
    #[error("{0}")]
    Io(io::Error),
    /// It could not be made.
    #[error("this host has no room for a probe: {0}")]
    NoRoom(io::Error),
    /// Found by `--ca`.
    #[error("its certificate {}", Words(.0))]
    Certificate(CertificateError),
    #[error("no TLS: {0}")]
    Tls(rustls::Error),
    #[error("no answer to GET /readyz: {}", innermost(.0))]
    Http(#[from] hyper::Error),
    #[error("GET /readyz was answered with {0}")]
    Status(StatusCode),
}

impl ProbeError {
    /// `None` where it says nothing of the backend.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::NoRoom(_) => None,
            Self::Certificate(error) if is_of_somebody_else(error) => Some(Outcome::Stranger),
            _ => Some(Outcome::Failed),
        }
    }
}

/// A certificate whose time is not now may well be the endpoint's, and a clock may be wrong.
fn is_of_somebody_else(error: &CertificateError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    !matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

impl Stage {
    fn what_was_missing(self) -> &'static str {
        match self {
            Self::Connection => "no answer",
            Self::Handshake => "it accepts the connection, and no TLS handshake",
            Self::Answer => "TLS is up, and no answer to GET /readyz",
        }
    }
}

/// What tokio-rustls says of a handshake: rustls' own errors come inside those of I/O.
impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()).cloned() {
            Some(rustls::Error::InvalidCertificate(error)) => Self::Certificate(error),
            Some(error) => Self::Tls(error),
            None if is_want_of_room(&error) => Self::NoRoom(error),
            None => Self::Io(error),
        }
    }
}

struct Words<'a>(&'a CertificateError);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented: Vec<_> = presented.iter().map(|name| bare(name)).collect();
                write!(f, "is for {}, not {}", presented.join(", "), expected.to_str())
            }
            CertificateError::UnknownIssuer => {
                f.write_str("comes from an unknown issuer, none of --ca")
            }
            // The authorities of all clusters have the one name, kubernetes.
            CertificateError::BadSignature => {
                f.write_str("comes from another issuer of that name, none of --ca")
            }
            CertificateError::ExpiredContext { not_after, .. } => {
                write!(f, "expired at {}", Instant(*not_after))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                write!(f, "is not valid before {}", Instant(*not_before))
            }
            other => write!(f, "is refused: {other}"),
        }
    }
}

/// rustls gives a name as `DnsName("api.example")`.
fn bare(name: &str) -> &str {
    let inner = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")"));
    inner.unwrap_or(name)
}

struct Instant(UnixTime);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.as_secs()).ok();
        match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => time.fmt(f),
            None => write!(f, "second {} of Unix time", self.0.as_secs()),
        }
    }
}

/// hyper keeps what the system said one level down.
fn innermost(error: &hyper::Error) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_probe_that_could_not_be_made_says_nothing_of_the_backend() {
        let outcome = |errno: Errno| ProbeError::from(io::Error::from(errno)).outcome();
        assert_eq!(outcome(Errno::EMFILE), None);
        assert_eq!(outcome(Errno::ECONNREFUSED), Some(Outcome::Failed));
    }
}
