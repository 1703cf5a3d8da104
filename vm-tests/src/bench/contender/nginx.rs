//! nginx's stream module as one would run it in production.

use std::{net::SocketAddr, path::Path};

use crate::bench::{daemon::Daemon, needs::Needs, site::Site};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
const FILE: &str = "nginx.conf";

pub(super) const NEEDS: Needs =
    Needs { program: "nginx", also: Some(MODULE), packages: "nginx libnginx-mod-stream" };

pub(super) async fn start(site: &Site) -> anyhow::Result<Daemon> {
    let file = site.write(FILE, &configuration(site.backends(), &site.folder()))?;
    let file = file.display().to_string();
    let prefix = site.folder().display().to_string();
    let arguments = ["-e", "stderr", "-p", &prefix, "-c", &file].map(str::to_owned);
    site.daemon(site.proxy(), NEEDS.program, arguments.into()).await
}

/// Half-closed connections as every TCP proxy needs them, and otherwise its defaults but for
/// numbers.
pub(super) fn configuration(backends: &[SocketAddr], folder: &Path) -> String {
    let servers: String = backends.iter().map(|at| format!("\t\tserver {at};\n")).collect();
    format!(
        "load_module {MODULE};\n\
         daemon off;\n\
         user root;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr warn;\n\
         worker_processes 2;\n\
         worker_rlimit_nofile 20000;\n\
         events {{\n\
         \tworker_connections 16000;\n\
         }}\n\
         stream {{\n\
         \tupstream api {{\n\
         \t\tzone api 64k;\n\
         \t\trandom two least_conn;\n\
         {servers}\
         \t}}\n\
         \tserver {{\n\
         \t\tlisten 443 reuseport backlog=4096 so_keepalive=on;\n\
         \t\tproxy_pass api;\n\
         \t\tproxy_connect_timeout 3s;\n\
         \t\tproxy_timeout 6100s;\n\
         \t\tproxy_half_close on;\n\
         \t\tproxy_socket_keepalive on;\n\
         \t}}\n\
         }}\n",
        folder = folder.display(),
    )
}
