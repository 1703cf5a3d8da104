//! The lab of one contender in one round, from nothing: no port rests there, no table is warm.
//!
//! As in [`crate::lab`], a router with one link to each host; but here the way between client and
//! ENIs always leads through the proxy's one link, so that the plain path is no shorter than
//! anybody's.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{LAB, daemon::Daemon};
use crate::{
    eni::Subnet,
    links::Links,
    network::{Network, Wires},
    place::{Inside, Place},
    plan::{self, ENDPOINT, Plan},
    resolver,
    state::{self, State},
    tool::on_path,
    wire::router_link,
    zone::Zone,
};

const FIRST_HOST: u8 = 10;
const TTL: Duration = Duration::from_secs(2);
/// A routing table of the router, for what comes from the client or an ENI.
const THROUGH_PROXY: u32 = 100;

pub(crate) struct Site {
    // Dropped in this order: who uses a part goes before it.
    _servers: Vec<Server>,
    _resolver: hickory_server::Server<resolver::Answers>,
    client: Place,
    proxy: Place,
    _network: Network,
    backends: Vec<SocketAddr>,
    plan: Plan,
    state: State,
}

/// An API server, as far as loads go.
struct Server {
    _daemon: Daemon,
    _eni: Place,
}

impl Site {
    pub(crate) async fn build(load: &Path) -> anyhow::Result<Self> {
        let (state, _) = State::claim(LAB)?;
        state::mount_bpffs()?;
        let mut network = Network::vpc(LAB, Wires::default()).await?;
        let (client, proxy) = (network.client().await?, network.proxy().await?);
        let mut servers = Vec::new();
        for subnet in Subnet::ALL {
            servers.push(Server::start(&network, subnet, load, &state).await?);
        }
        let (plan, backends) = (Plan::vpc(false), backends());
        let router = network.router();
        router.run(lead_through_proxy()).await.context("routing through the proxy")?;
        let resolver = router.run(resolver::serve(zone(&backends), plan.resolver)).await?;
        Ok(Self {
            _servers: servers,
            _resolver: resolver,
            client,
            proxy,
            _network: network,
            backends,
            plan,
            state,
        })
    }

    pub(crate) fn client(&self) -> &Inside {
        self.client.inside()
    }

    pub(crate) fn proxy(&self) -> &Inside {
        self.proxy.inside()
    }

    pub(crate) fn backends(&self) -> &[SocketAddr] {
        &self.backends
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.state.file("")
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        self.state.write(name, content)?;
        Ok(self.state.file(name))
    }

    /// A program of the host, with a log named after it.
    pub(crate) async fn daemon(
        &self,
        inside: &Inside,
        program: &str,
        arguments: Vec<String>,
    ) -> anyhow::Result<Daemon> {
        let path = on_path(program).with_context(|| format!("{program} is not installed"))?;
        let log = self.state.file(&format!("{program}.log"));
        Daemon::start(inside, &path, arguments, log).await
    }
}

/// Where the API servers of every site are.
pub(crate) fn backends() -> Vec<SocketAddr> {
    Subnet::ALL.map(backend).into()
}

fn zone(backends: &[SocketAddr]) -> Zone {
    let zone = Zone::new(TTL);
    zone.set(ENDPOINT, backends.iter().map(SocketAddr::ip).collect());
    zone
}

impl Server {
    async fn start(
        network: &Network,
        subnet: Subnet,
        load: &Path,
        state: &State,
    ) -> anyhow::Result<Self> {
        let address = backend(subnet);
        let IpAddr::V4(ip) = address.ip() else { bail!("{address}: is not over IPv4") };
        let eni = network.eni(&host(subnet), ip).await?;
        let arguments = ["serve".to_owned(), "--listen".to_owned(), address.to_string()];
        let log = state.file(&format!("{}.log", host(subnet)));
        let daemon = Daemon::start(eni.inside(), load, arguments.into(), log).await?;
        Ok(Self { _daemon: daemon, _eni: eni })
    }
}

fn host(subnet: Subnet) -> String {
    format!("eni-{subnet}")
}

fn backend(subnet: Subnet) -> SocketAddr {
    let plan = Plan::vpc(false);
    (subnet.address(plan.prefix, FIRST_HOST), plan.api_port).into()
}

async fn lead_through_proxy() -> anyhow::Result<()> {
    let links = Links::open()?;
    links.table_via(THROUGH_PROXY, &router_link("proxy"), plan::PROXY).await?;
    let hosts = Subnet::ALL.map(host).into_iter().chain(["client".to_owned()]);
    for host in hosts {
        links.look_up_from(&router_link(&host), THROUGH_PROXY).await?;
    }
    Ok(())
}
