//! Asks a running agent over its admin endpoint: one request over HTTP/1.0.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::status::Status;

const DEADLINE: Duration = Duration::from_secs(5);
const LONGEST: u64 = 16 << 20;

pub async fn status(admin: SocketAddr) -> anyhow::Result<Status> {
    let body = text(admin).await?;
    serde_json::from_str(&body).with_context(|| format!("admin: {admin}: is no enigate's status"))
}

/// The document as it was sent.
pub async fn text(admin: SocketAddr) -> anyhow::Result<String> {
    ask(admin, "GET /status").await
}

/// Returns once the agent has begun.
pub async fn drain(admin: SocketAddr) -> anyhow::Result<()> {
    ask(admin, "POST /drain").await.map(drop)
}

async fn ask(admin: SocketAddr, what: &str) -> anyhow::Result<String> {
    let response = timeout(DEADLINE, exchange(admin, what)).await;
    let response = response
        .with_context(|| format!("admin: {admin}: no answer within {DEADLINE:?}"))?
        .with_context(|| format!("admin: {admin}: cannot be asked; is the agent running there?"))?;
    body(&response).with_context(|| format!("admin: {admin}"))
}

async fn exchange(admin: SocketAddr, what: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("{what} HTTP/1.0\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.take(LONGEST).read_to_string(&mut response).await?;
    Ok(response)
}

/// HTTP/1.0 was spoken: the body is all that follows the empty line.
fn body(response: &str) -> anyhow::Result<String> {
    let (head, body) = response.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    let status_line = head.lines().next().unwrap_or_default();
    if !matches!(status_line.split(' ').nth(1), Some("200" | "202")) {
        bail!("the answer is {status_line:?}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_follows_the_empty_line() {
        assert_eq!(body("HTTP/1.0 200 OK\r\na: b\r\n\r\n{}\r\n\r\n").unwrap(), "{}\r\n\r\n");
        assert!(body("HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err().to_string().contains("404"));
        assert!(body("SSH-2.0-OpenSSH").unwrap_err().to_string().contains("no HTTP"));
    }
}
