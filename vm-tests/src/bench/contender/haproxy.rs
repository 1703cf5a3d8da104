//! HAProxy as one would run it in production: splicing, keepalive, checks, long timeouts.

use std::net::SocketAddr;

use super::Needs;
use crate::bench::{daemon::Daemon, site::Site};

pub(super) const NEEDS: Needs =
    Needs { program: "haproxy", also: None, packages: "--no-install-recommends haproxy" };

const FILE: &str = "haproxy.cfg";

pub(super) async fn start(site: &Site) -> anyhow::Result<Daemon> {
    let file = site.write(FILE, &configuration(site.backends()))?;
    let arguments = ["-db".to_owned(), "-f".to_owned(), file.display().to_string()];
    site.daemon(site.proxy(), NEEDS.program, arguments.into()).await
}

/// Two random servers, the one with fewer connections: as enigate chooses.
pub(super) fn configuration(backends: &[SocketAddr]) -> String {
    let servers = backends.iter().enumerate();
    let servers: String = servers
        .map(|(number, at)| format!("\tserver eni{number} {at} check inter 2s fall 3 rise 1\n"))
        .collect();
    format!(
        "global\n\
         \tnbthread 2\n\
         \tmaxconn 4000\n\
         defaults\n\
         \tmode tcp\n\
         \toption splice-auto\n\
         \toption tcpka\n\
         \ttimeout connect 3s\n\
         \ttimeout client 6100s\n\
         \ttimeout server 6100s\n\
         \ttimeout client-fin 30s\n\
         \ttimeout server-fin 30s\n\
         listen api\n\
         \tbind :443 backlog 4096\n\
         \tbalance random(2)\n\
         {servers}"
    )
}
