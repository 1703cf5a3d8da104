//! As much of HTTP/1.1 as a load generator of somebody else's asks for: the same answer to each
//! request, on a connection that stays.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How requests begin.
pub(crate) const GET: &[u8] = b"GET /";
pub(crate) const ANSWER: &[u8; 40] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const END: &[u8] = b"\r\n\r\n";
/// Of all header fields.
const LONGEST: usize = 8192;

/// `heard` was read of the first request.
pub(crate) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut heard: Vec<u8>,
) -> io::Result<()> {
    loop {
        while let Some(end) = heard.windows(END.len()).position(|window| window == END) {
            heard.drain(..end + END.len());
            stream.write_all(ANSWER).await?;
        }
        if heard.len() > LONGEST || stream.read_buf(&mut heard).await? == 0 {
            return Ok(());
        }
    }
}
