//! A client that asks for a name that is not served here is told so.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::TcpStream,
    time::timeout,
};

use crate::datapath::socket;

/// A record of an alert with two bytes: fatal, unrecognized_name (RFC 6066, section 3). Before a
/// version is agreed on, clients take any of this family (RFC 8446, section 5.1).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

/// For the client to read the alert and close.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes the alert and waits a moment for the client's end: a reset, which bytes of the client's
/// that nobody has read would cause, could overtake the alert.
pub async fn turn_away(client: TcpStream) {
    match timeout(PATIENCE, say(client)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("an alert may not have arrived: {error}"),
        Err(_elapsed) => tracing::debug!("a client that was turned away has not closed"),
    }
}

async fn say(mut client: TcpStream) -> io::Result<()> {
    client.write_all(&UNRECOGNIZED_NAME).await?;
    client.shutdown().await?;
    copy(&mut client, &mut sink()).await?;
    socket::close_in_peace(&client)
}
