//! How a new agent takes an earlier one's place without a connection being refused: it is given the
//! listening sockets, by the earlier agent itself or by systemd, and what waits in their queues.
//!
//! ```text
//! heir                                   host, the earlier agent
//! connects            ---------------->  hands over copies of its listening sockets
//! gets ready          -------pause---->  accepts nothing any more, lets go of the packet path
//!                     <------paused----
//! serves              -------taken---->  its connections end by themselves, or at its deadline
//!                     <------bye-------
//! ```
//!
//! An heir that fails in between hangs up, and the host goes on as before.

mod descriptors;
mod heir;
mod host;

use std::{
    net::SocketAddr, os::linux::net::SocketAddrExt as _, os::unix::net::SocketAddr as UnixAddress,
    time::Duration,
};

pub use self::{
    heir::{Estate, Predecessor},
    host::{Heir, Host},
};

/// Of one message, on either side; an heir may need as long to get ready.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: u8 = b'p';
const PAUSED: u8 = b'P';
const TAKEN: u8 = b't';
const BYE: u8 = b'B';

/// The next successor; never where none can come.
pub async fn next(host: Option<&Host>) -> Heir {
    match host {
        Some(host) => host.heir().await,
        None => std::future::pending().await,
    }
}

/// In the abstract namespace, which belongs to the network namespace as the sockets do: an agent is
/// known by where it is administered.
fn meeting_point(admin: SocketAddr) -> std::io::Result<UnixAddress> {
    UnixAddress::from_abstract_name(format!("enigate/1/{admin}"))
}
