//! What enigate is compared with, and who measures beside our own load generator.

use std::path::Path;

use super::{State, apt, host};

/// A file of each package.
const PROGRAMS: [(&str, &str); 6] = [
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream"),
    ("nft", "nftables"),
    ("iperf3", "iperf3"),
    ("wrk", "wrk"),
];

pub fn programs() -> State {
    match missing().as_slice() {
        [] => State::Present { found: "haproxy, nginx, nft, iperf3, wrk".into() },
        packages if host::on_path("apt-get").is_none() => State::Unavailable {
            why: format!("no apt-get here: {} are not compared with", packages.join(" ")),
        },
        packages => State::Missing { remedy: format!("apt-get install {}", packages.join(" ")) },
    }
}

/// Whoever cannot be had is named in the report.
pub fn install() -> anyhow::Result<()> {
    if let Err(error) = apt::install(&missing()) {
        eprintln!("    goes on without: {error:#}");
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let lacks = |file: &str| !Path::new(file).is_file() && host::on_path(file).is_none();
    PROGRAMS.into_iter().filter(|(file, _)| lacks(file)).map(|(_, package)| package).collect()
}
