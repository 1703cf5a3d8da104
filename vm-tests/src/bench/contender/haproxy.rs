//! HAProxy as one would run it in production: splicing, keepalive, checks, long timeouts, and the
//! servers from DNS.

use std::net::SocketAddr;

use crate::{
    bench::{daemon::Daemon, needs::Needs, site::Site},
    plan::{ENDPOINT, RESOLVER},
};

pub(super) const NEEDS: Needs = Needs { program: "haproxy", also: None, packages: "haproxy" };

const FILE: &str = "haproxy.cfg";
/// Room for all new ENIs beside all old ones.
const SLOTS: usize = 2;

pub(super) async fn start(site: &Site) -> anyhow::Result<Daemon> {
    let file = site.write(FILE, &configuration(site.backends()))?;
    let arguments = ["-db".to_owned(), "-f".to_owned(), file.display().to_string()];
    site.daemon(site.proxy(), NEEDS.program, arguments.into()).await
}

/// Two random servers, the one with fewer connections: as enigate chooses. It does not look at TTLs,
/// so that the interval is what the lab's TTL is. More connections than these would take more files
/// than a process may open here.
pub(super) fn configuration(backends: &[SocketAddr]) -> String {
    let slots = SLOTS * backends.len();
    format!(
        "global\n\
         \tnbthread 2\n\
         \tmaxconn 9300\n\
         \tmaxpipes 200\n\
         resolvers vpc\n\
         \tnameserver vpc {RESOLVER}:53\n\
         \taccepted_payload_size 4096\n\
         \ttimeout resolve 1s\n\
         \ttimeout retry 1s\n\
         \thold valid 1s\n\
         defaults\n\
         \tmode tcp\n\
         \toption splice-auto\n\
         \toption tcpka\n\
         \toption redispatch 1\n\
         \tretries 3\n\
         \ttimeout connect 1s\n\
         \ttimeout check 1s\n\
         \ttimeout client 6100s\n\
         \ttimeout server 6100s\n\
         \ttimeout client-fin 30s\n\
         \ttimeout server-fin 30s\n\
         listen api\n\
         \tbind :443 backlog 4096\n\
         \tbalance random(2)\n\
         \tdefault-server check inter 2s fall 3 rise 1 resolvers vpc init-addr none resolve-prefer ipv4\n\
         \tserver-template eni {slots} {ENDPOINT}:443\n"
    )
}
