//! `GET /readyz` over HTTP/1.1 (RFC 9112), of which the status is all that matters.

use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
    http,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::ProbeError;
use crate::config::Endpoint;

const AGENT: &str = concat!("enigate/", env!("CARGO_PKG_VERSION"));
const HTTPS: u16 = 443;
/// The most that is read of an answer, in bytes, unless its head ends earlier; hyper's least.
const MOST: usize = 8 * 1024;

/// As clients of the endpoint send it, but for the credentials.
pub fn request(endpoint: &Endpoint) -> http::Result<Request<String>> {
    let host = match endpoint.port.get() {
        HTTPS => endpoint.host.to_string(),
        _ => endpoint.to_string(),
    };
    Request::get("/readyz")
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(String::new())
}

/// The body is left unread.
pub async fn ask<S>(stream: S, request: Request<String>) -> Result<(), ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MOST).handshake(TokioIo::new(stream)).await?;
    let mut answer = Box::pin(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        // What went wrong is said to the one who waits for the answer.
        _ended = connection => answer.await,
    }?;
    match response.status() {
        status if is_live(status) => Ok(()),
        status => Err(ProbeError::Status(status)),
    }
}

/// One that wants credentials first, or is too busy for strangers (429: priority and fairness), is
/// there. A redirection or a 404 says that this is no API server.
fn is_live(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::OK
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::TOO_MANY_REQUESTS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_written_as_clients_write_it() {
        for (endpoint, host) in [("api.example", "api.example"), ("a.b:8443", "a.b:8443")] {
            let request = request(&endpoint.parse().unwrap()).unwrap();
            assert_eq!(request.headers()[HOST], host);
        }
    }

    #[test]
    fn a_server_that_is_there_is_live_whomever_it_lets_in() {
        for (code, live) in [
            (200, true),
            (401, true),
            (403, true),
            (429, true),
            (204, false),
            (301, false),
            (404, false),
            (500, false),
            (503, false),
        ] {
            assert_eq!(is_live(StatusCode::from_u16(code).unwrap()), live, "{code}");
        }
    }
}
