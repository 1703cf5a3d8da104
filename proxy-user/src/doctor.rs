//! `enigate check`: tries out each thing that `run` depends on, and changes nothing.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::Path};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use serde::Serialize;

use crate::{
    admin::Admin,
    client,
    config::{Config, DatapathChoice},
    datapath::{interface, listener::Bound, plan},
    discovery::Resolver,
    health::probe,
};

const BPFFS: &str = "/sys/fs/bpf";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub level: Level,
    pub message: String,
}

pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![listen(config).await, admin(config).await];
    findings.extend(datapath(config));
    let addresses = match resolve(config).await {
        Ok((addresses, finding)) => {
            findings.push(finding);
            addresses
        }
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    findings.extend(backends(config, addresses).await);
    findings
}

async fn listen(config: &Config) -> Finding {
    match Bound::new(config.listen) {
        Ok(_free) => finding("listen", Level::Ok, format!("{} is free", config.listen)),
        Err(refusal) => {
            let running = client::status(config.admin).await;
            if running.is_ok_and(|status| status.listen == config.listen) {
                return finding("listen", Level::Ok, "served by the agent that runs here");
            }
            finding("listen", Level::Fail, refusal)
        }
    }
}

async fn admin(config: &Config) -> Finding {
    match Admin::bind(config.admin).await {
        Ok(_free) => finding("admin", Level::Ok, format!("{} is free", config.admin)),
        Err(_) if client::status(config.admin).await.is_ok() => {
            finding("admin", Level::Ok, "served by the agent that runs here")
        }
        Err(refusal) => finding("admin", Level::Fail, refusal),
    }
}

fn datapath(config: &Config) -> Vec<Finding> {
    if let Err(refusal) = interface::must_be_there(config) {
        return vec![finding("datapath", Level::Fail, refusal)];
    }
    let is_by_name = config.datapath == DatapathChoice::Packet;
    let packet = match (config.datapath, plan(config)) {
        (DatapathChoice::Relay, _) => return vec![finding("datapath", Level::Ok, "relay")],
        (_, Ok(attachment)) => {
            let message = format!("packet, on {}", attachment.interface);
            return vec![finding("datapath", Level::Ok, message), bpffs()];
        }
        (_, Err(refusal)) => refusal,
    };
    let level = if is_by_name { Level::Fail } else { Level::Warn };
    vec![finding("datapath", level, packet)]
}

fn bpffs() -> Finding {
    let is_there =
        statfs(Path::new(BPFFS)).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
    match is_there {
        true => finding("bpffs", Level::Ok, format!("mounted at {BPFFS}")),
        false => finding("bpffs", Level::Warn, format!("{BPFFS} is not mounted; `run` mounts it")),
    }
}

async fn resolve(config: &Config) -> Result<(BTreeSet<SocketAddr>, Finding), Finding> {
    let fail = |error: &dyn fmt::Display| {
        finding("dns", Level::Fail, format!("{}: {error}", config.endpoint.host))
    };
    let resolver =
        Resolver::new(&config.endpoint.host, &config.resolvers).map_err(|error| fail(&error))?;
    let answer = resolver.resolve(None).await.map_err(|error| fail(&error))?;
    let port = config.endpoint.port.get();
    let message = format!("{} addresses, TTL {} s", answer.addresses.len(), answer.ttl.as_secs());
    let addresses = answer.addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Ok((addresses, finding("dns", Level::Ok, message)))
}

/// One that cannot be reached is a warning while there is another.
async fn backends(config: &Config, addresses: BTreeSet<SocketAddr>) -> Vec<Finding> {
    let mut results = Vec::new();
    for address in addresses {
        results.push(probe(address, config.health.kind, config.health.timeout).await);
    }
    let any_passed = results.iter().any(|result| result.result.is_ok());
    let failed = if any_passed { Level::Warn } else { Level::Fail };
    let describe = |probed: crate::health::Finding| match probed.result {
        Ok(()) => {
            let millis = probed.took.as_secs_f64() * 1_000.0;
            finding("backend", Level::Ok, format!("{}: {millis:.1} ms", probed.backend))
        }
        Err(error) => finding("backend", failed, format!("{}: {error}", probed.backend)),
    };
    results.into_iter().map(describe).collect()
}

fn finding(check: &'static str, level: Level, message: impl fmt::Display) -> Finding {
    Finding { check, level, message: message.to_string() }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level:<4}  {:<8}  {}", self.check, self.message)
    }
}
