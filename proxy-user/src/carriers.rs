//! What each listener does with its connections: one carrier for every address that is listened on,
//! with the routes behind it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use crate::{
    cluster::Cluster,
    config::{Config, ProxyProtocol, Refusal},
    datapath::{
        carry::Carrier,
        limits::Limits,
        mover::Mover,
        preface::Wants,
        reach::Reach,
        relay::{Manner, Pipes},
        routes::{Route, Routes},
        tally::Tally,
    },
    files::Files,
};

pub fn carriers(
    config: &Config,
    clusters: &[Cluster],
    files: Files,
    tally: &Arc<Tally>,
) -> Result<BTreeMap<SocketAddr, Carrier>, Refusal> {
    let limits = &config.listener.limits;
    let pipes = Pipes::new(files.pipes(), tally.clone());
    let limits =
        Arc::new(Limits::new(limits.total, files.room(), limits.per_source, limits.per_vpce));
    let mut behind = BTreeMap::<SocketAddr, Vec<&Cluster>>::new();
    for cluster in clusters {
        behind.entry(cluster.route.listen).or_default().push(cluster);
    }
    let carrier = |(listen, clusters): (SocketAddr, Vec<&Cluster>)| {
        let routes = routes(config, &clusters, tally)?;
        Ok((listen, carrier(config, routes, &pipes, limits.clone(), tally.clone())))
    };
    behind.into_iter().map(carrier).collect()
}

fn carrier(
    config: &Config,
    routes: Routes,
    pipes: &Arc<Pipes>,
    limits: Arc<Limits>,
    tally: Arc<Tally>,
) -> Carrier {
    let listener = &config.listener;
    Carrier {
        wants: Wants {
            proxy_protocol: listener.proxy_protocol == ProxyProtocol::V2,
            server_name: routes.need_a_name(),
            header_timeout: listener.header_timeout,
        },
        routes,
        sources: listener.sources.clone(),
        limits,
        manner: Manner { half_closed: listener.half_closed, pipes: pipes.clone() },
        flow_log: config.log.flows,
        tally,
        mover: Mover::Relay,
    }
}

fn routes(config: &Config, clusters: &[&Cluster], tally: &Arc<Tally>) -> Result<Routes, Refusal> {
    if let [only] = clusters
        && only.route.server_names.is_empty()
    {
        return Ok(Routes::All(Arc::new(route(config, only, tally))));
    }
    let named = clusters.iter().map(|cluster| {
        (cluster.route.server_names.clone(), Arc::new(route(config, cluster, tally)))
    });
    Routes::by_name(named)
        .map_err(|twice| Refusal::new("sni", twice, "is given twice; give it once"))
}

fn route(config: &Config, cluster: &Cluster, tally: &Arc<Tally>) -> Route {
    let reach = Reach {
        snapshots: cluster.snapshots(),
        suspects: cluster.suspects.clone(),
        ledger: cluster.ledger.clone(),
        tally: tally.clone(),
        limit: config.listener.connect_timeout,
        legs: config.listener.legs,
    };
    Route { reach, vpces: cluster.route.vpces.clone() }
}
