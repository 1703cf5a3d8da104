//! `enigate check`: tries out each thing that `run` depends on, and changes nothing.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::Path};

use proxy_common::config::Opens;
use serde::Serialize;

use crate::{
    admin::Admin,
    client,
    config::{Config, DatapathChoice, Endpoint, Legs, Probing, Route, SourcePorts, Trust},
    datapath::{
        interface,
        kernel::{self, BPFFS, is_on_bpffs},
        listener::{Bound, Room},
        must_not_be_passed_by, plan, tested_handover, tested_sockmap,
    },
    discovery::{Resolver, Sieve, examine as examine_folder},
    environment,
    files::Files,
    health::Probe,
    status::Status,
};

const SERVED: &str = "served by the agent that runs here";

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
    let running = client::status(config.admin).await.ok();
    let addresses: BTreeSet<_> = config.routes.iter().map(|route| route.listen).collect();
    let mut findings: Vec<_> = addresses
        .into_iter()
        .map(|address| listen(address, config.listener.legs, running.as_ref()))
        .collect();
    findings.push(admin(config, running.as_ref()).await);
    findings.extend(files(config));
    findings.push(health(&config.health.probing));
    findings.extend(datapath(config).await);
    findings.extend(
        environment::strangers()
            .iter()
            .map(|stranger| finding("environment", Level::Warn, stranger)),
    );
    findings.push(state(config));
    for route in &config.routes {
        findings.extend(cluster(config, route).await);
    }
    findings
}

async fn cluster(config: &Config, route: &Route) -> Vec<Finding> {
    match resolve(config, route).await {
        Ok((addresses, found)) => {
            let mut findings = vec![found];
            findings.extend(backends(config, &route.endpoint, addresses).await);
            findings
        }
        Err(found) => vec![found],
    }
}

fn files(config: &Config) -> Option<Finding> {
    match Files::raised() {
        Ok(files) => {
            let lack = files.lack(config.listener.limits.total)?;
            Some(finding("max-connections", Level::Warn, lack))
        }
        Err(error) => Some(finding("max-connections", Level::Warn, format!("{error:#}"))),
    }
}

fn listen(address: SocketAddr, legs: Legs, running: Option<&Status>) -> Finding {
    match Bound::new(address, legs, Room::Relayed, vec![]) {
        Ok(_free) => finding("listen", Level::Ok, format!("{address} is free")),
        Err(refusal) => {
            let is_served = |status: &Status| status.routes.iter().any(|it| it.listen == address);
            if running.is_some_and(is_served) {
                return finding("listen", Level::Ok, SERVED);
            }
            finding("listen", Level::Fail, refusal)
        }
    }
}

async fn admin(config: &Config, running: Option<&Status>) -> Finding {
    match Admin::open(config.admin, vec![]).await {
        Ok(_free) => finding("admin", Level::Ok, format!("{} is free", config.admin)),
        Err(_) if running.is_some() => finding("admin", Level::Ok, SERVED),
        Err(refusal) => finding("admin", Level::Fail, refusal),
    }
}

fn health(probing: &Probing) -> Finding {
    let level = match probing {
        Probing::Tls(Trust::Anybody) | Probing::Https(Trust::Anybody) => Level::Warn,
        _ => Level::Ok,
    };
    let advice = if level == Level::Warn { "; name the cluster's authority with --ca" } else { "" };
    finding("health", level, format!("{probing}{advice}"))
}

async fn datapath(config: &Config) -> Vec<Finding> {
    if let Err(refusal) = interface::must_be_there(config) {
        return vec![finding("datapath", Level::Fail, refusal)];
    }
    if config.datapath == DatapathChoice::Sockmap {
        return vec![sockmap(config).await];
    }
    let what = config.needs_the_listener();
    let is_relay = config.datapath == DatapathChoice::Relay || config.routes.len() > 1;
    if is_relay {
        return vec![match must_not_be_passed_by(config) {
            Ok(()) => {
                finding("datapath", Level::Ok, format!("relay: {}", what.unwrap_or("so asked")))
            }
            Err(refusal) => finding("datapath", Level::Fail, refusal),
        }];
    }
    let is_handover = config.datapath == DatapathChoice::Handover || what.is_some();
    let (name, opens) = match is_handover {
        true => ("handover", Opens::Listener),
        false => ("packet", Opens::Program),
    };
    if is_handover && let Err(refusal) = tested_handover().await {
        let is_asked = config.datapath == DatapathChoice::Handover;
        let level = if is_asked { Level::Fail } else { Level::Warn };
        return vec![finding("datapath", level, refusal)];
    }
    let unfit = if config.datapath == DatapathChoice::Auto { Level::Warn } else { Level::Fail };
    match plan(config, opens, false) {
        Ok(attachment) => vec![
            finding("datapath", Level::Ok, format!("{name}, on {}", attachment.interface)),
            source_ports(config.packet.source_ports, unfit),
            pins(&config.packet.pin_dir, unfit),
        ],
        Err(refusal) => vec![finding("datapath", unfit, refusal)],
    }
}

async fn sockmap(config: &Config) -> Finding {
    match tested_sockmap(config).await {
        Ok(_tested) => finding("datapath", Level::Ok, "sockmap, whose self-test passes here"),
        Err(refusal) => finding("datapath", Level::Fail, refusal),
    }
}

fn source_ports(wanted: SourcePorts, unfit: Level) -> Finding {
    match kernel::source_ports(wanted) {
        Ok(sources) => finding("source-ports", Level::Ok, sources),
        Err(error) => finding("source-ports", unfit, format!("{error:#}")),
    }
}

/// `run` makes the folder, and mounts the file system where it is expected.
fn pins(folder: &Path, unfit: Level) -> Finding {
    let shown = folder.display();
    if is_on_bpffs(folder) {
        finding("pin-dir", Level::Ok, format!("{shown}, on a BPF file system"))
    } else if folder.starts_with(BPFFS) {
        finding("pin-dir", Level::Ok, format!("{shown}; `run` mounts {BPFFS}"))
    } else {
        let message = format!("{shown}: is not on a BPF file system; choose one under {BPFFS}");
        finding("pin-dir", unfit, message)
    }
}

/// `run` makes the folder, and goes without the default one.
fn state(config: &Config) -> Finding {
    let shown = config.state.folder.display();
    let unfit = if config.state.is_given { Level::Fail } else { Level::Warn };
    match examine_folder(&config.state.folder) {
        Ok(()) => finding("state-dir", Level::Ok, shown),
        Err(wrong) => finding("state-dir", unfit, format!("{shown}: {wrong}")),
    }
}

async fn resolve(
    config: &Config,
    route: &Route,
) -> Result<(BTreeSet<SocketAddr>, Finding), Finding> {
    let host = &route.endpoint.host;
    let fail = |error: &dyn fmt::Display| finding("dns", Level::Fail, format!("{host}: {error}"));
    let sieve = Sieve::new(route.listen, interface::addresses);
    let resolver = Resolver::new(host, &config.resolvers, sieve).map_err(|error| fail(&error))?;
    let resolved = resolver.resolve(None).await;
    let doubt = resolved.doubt();
    let answer = resolved.result.map_err(|error| fail(&error))?;
    let port = route.endpoint.port.get();
    let message = format!("{} addresses, TTL {} s", answer.addresses.len(), answer.ttl.as_secs());
    let addresses = answer.addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let found = match doubt {
        None => finding("dns", Level::Ok, message),
        Some(doubt) => finding("dns", Level::Warn, format!("{message}; {doubt}")),
    };
    Ok((addresses, found))
}

/// One that cannot be reached is a warning while there is another.
async fn backends(
    config: &Config,
    endpoint: &Endpoint,
    addresses: BTreeSet<SocketAddr>,
) -> Vec<Finding> {
    let probe = match Probe::new(endpoint, &config.health) {
        Ok(probe) => probe,
        Err(error) => return vec![finding("backend", Level::Fail, format!("{error:#}"))],
    };
    let mut results = Vec::new();
    for address in addresses {
        results.push(probe.of(address).await);
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

/// A refusal of the very thing that is checked need not name it again.
fn finding(check: &'static str, level: Level, message: impl fmt::Display) -> Finding {
    let said = message.to_string();
    let rest = said.strip_prefix(check).and_then(|rest| rest.strip_prefix(": "));
    Finding { check, level, message: rest.unwrap_or(&said).to_owned() }
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
