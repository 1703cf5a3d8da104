//! Routes: where clients connect, and which cluster they are led to. Those that share a listener
//! are told apart by the name in the ClientHello.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde::Deserialize;

use super::{
    DEFAULT_LISTEN, Refusal,
    endpoint::Endpoint,
    settings::{Settings, parsed, parsed_list},
    values::{BindAddress, ProxyProtocol, SniPattern, VpceId},
};

#[derive(Clone, Debug)]
pub struct Route {
    pub listen: SocketAddr,
    pub endpoint: Endpoint,
    /// Which names in the ClientHello lead here. Empty: the ClientHello is not read.
    pub server_names: Vec<SniPattern>,
    /// VPC endpoints whose connections are let through; all where empty.
    pub vpces: Vec<VpceId>,
}

/// One `[[route]]` table; what it leaves out, the keys above it say for all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RouteSettings {
    #[serde(deserialize_with = "parsed")]
    endpoint: Option<Endpoint>,
    #[serde(deserialize_with = "parsed")]
    listen: Option<BindAddress>,
    #[serde(deserialize_with = "parsed_list")]
    sni: Vec<SniPattern>,
    #[serde(deserialize_with = "parsed_list")]
    allow_vpce: Vec<VpceId>,
}

/// At least one.
pub(super) fn routes(settings: &Settings) -> Result<Vec<Route>, Refusal> {
    let mut routes = match settings.route.as_slice() {
        [] => vec![the_only(settings)?],
        tables => {
            nothing_above(settings)?;
            tables.iter().map(|table| of_table(table, settings)).collect::<Result<_, _>>()?
        }
    };
    name_those_who_share(&mut routes);
    endpoints_must_differ(&routes)?;
    names_must_differ(&routes)?;
    vpces_must_be_known(&routes, settings.proxy_protocol)?;
    Ok(routes)
}

fn the_only(settings: &Settings) -> Result<Route, Refusal> {
    Ok(Route {
        listen: settings.listen.unwrap_or(DEFAULT_LISTEN).get(),
        endpoint: settings.endpoint.clone().ok_or_else(missing_endpoint)?,
        server_names: settings.sni.clone(),
        vpces: settings.allow_vpce.clone(),
    })
}

fn of_table(table: &RouteSettings, above: &Settings) -> Result<Route, Refusal> {
    let missing = || Refusal::new("route", "a [[route]] table", "has no endpoint; give its host");
    let or = |own: &[VpceId], above: &[VpceId]| if own.is_empty() { above } else { own }.to_vec();
    Ok(Route {
        listen: table.listen.or(above.listen).unwrap_or(DEFAULT_LISTEN).get(),
        endpoint: table.endpoint.clone().ok_or_else(missing)?,
        server_names: table.sni.clone(),
        vpces: or(&table.allow_vpce, &above.allow_vpce),
    })
}

fn nothing_above(settings: &Settings) -> Result<(), Refusal> {
    let wrong = "the file has [[route]] tables, each with its own; leave this one out";
    if let Some(endpoint) = &settings.endpoint {
        return Err(Refusal::new("endpoint", endpoint, wrong));
    }
    match settings.sni.first() {
        Some(name) => Err(Refusal::new("sni", name, wrong)),
        None => Ok(()),
    }
}

/// Where nothing is said, clients ask for the cluster by its own name.
fn name_those_who_share(routes: &mut [Route]) {
    let mut listeners = BTreeMap::<SocketAddr, usize>::new();
    routes.iter().for_each(|route| *listeners.entry(route.listen).or_default() += 1);
    for route in routes.iter_mut().filter(|route| route.server_names.is_empty()) {
        if listeners.get(&route.listen).is_some_and(|count| *count > 1) {
            route.server_names = vec![SniPattern::Exact(route.endpoint.host.clone())];
        }
    }
}

fn endpoints_must_differ(routes: &[Route]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    match routes.iter().find(|route| !seen.insert(route.endpoint.to_string())) {
        None => Ok(()),
        Some(twice) => {
            let wrong = "has two [[route]] tables; give it one, with all of its names";
            Err(Refusal::new("endpoint", &twice.endpoint, wrong))
        }
    }
}

fn names_must_differ(routes: &[Route]) -> Result<(), Refusal> {
    let mut seen = BTreeMap::new();
    for route in routes {
        for name in &route.server_names {
            if let Some(other) = seen.insert((route.listen, name.to_string()), &route.endpoint) {
                let wrong =
                    format!("leads to {other} and to {}; give it to one of them", route.endpoint);
                return Err(Refusal::new("sni", name, wrong));
            }
        }
    }
    Ok(())
}

fn vpces_must_be_known(routes: &[Route], header: Option<ProxyProtocol>) -> Result<(), Refusal> {
    match routes.iter().find_map(|route| route.vpces.first()) {
        Some(vpce) if header != Some(ProxyProtocol::V2) => {
            let wrong = "only a PROXY header names the VPC endpoint; add --proxy-protocol v2, and \
                         enable it on the load balancer's target group";
            Err(Refusal::new("allow-vpce", vpce, wrong))
        }
        _ => Ok(()),
    }
}

fn missing_endpoint() -> Refusal {
    let wrong = "the cluster's endpoint is needed; give --endpoint HOST, ENIGATE_ENDPOINT, or the \
                 key in the file of --config";
    Refusal::new("endpoint", "(none)", wrong)
}

#[cfg(test)]
mod tests;
