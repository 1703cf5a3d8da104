//! The lab of one contender in one round, from nothing: no port rests there, no table is warm.
//!
//! As in [`crate::lab`], a router with one link to each host; but here the way between client and
//! ENIs always leads through the proxy's one link, so that the plain path is no shorter than
//! anybody's.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{LAB, congestion, daemon::Daemon, tables};
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
/// The shortest that one meets, and what events wait for.
const TTL: Duration = Duration::from_secs(1);
/// A routing table of the router, for what comes from the client or an ENI.
const THROUGH_PROXY: u32 = 100;

pub(crate) struct Site {
    // Dropped in this order: who uses a part goes before it.
    servers: Vec<Server>,
    _resolver: hickory_server::Server<resolver::Answers>,
    client: Place,
    proxy: Place,
    network: Arc<Network>,
    backends: Vec<SocketAddr>,
    zone: Zone,
    plan: Plan,
    state: State,
}

/// An API server, as far as loads go.
struct Server {
    _daemon: Daemon,
    eni: Place,
}

impl Site {
    /// With the load generator's servers.
    pub(crate) async fn build(load: &Path, wires: Wires) -> anyhow::Result<Self> {
        let mut site = Self::without_servers(wires).await?;
        for subnet in Subnet::ALL {
            let listen = ["serve".to_owned(), "--listen".to_owned(), backend(subnet).to_string()];
            site.serve(subnet, load, listen.into()).await?;
        }
        site.open(Subnet::ALL.into()).await?;
        Ok(site)
    }

    /// With a single server, which is somebody else's program.
    pub(crate) async fn with_one(
        program: &str,
        arguments: Vec<String>,
        wires: Wires,
    ) -> anyhow::Result<Self> {
        let path = on_path(program).with_context(|| format!("{program} is not installed"))?;
        let mut site = Self::without_servers(wires).await?;
        site.serve(Subnet::A, &path, arguments).await?;
        site.open(vec![Subnet::A]).await?;
        Ok(site)
    }

    async fn serve(
        &mut self,
        subnet: Subnet,
        program: &Path,
        arguments: Vec<String>,
    ) -> anyhow::Result<()> {
        let IpAddr::V4(address) = backend(subnet).ip() else { bail!("{subnet}: is not over IPv4") };
        let eni = self.network.eni(&host(subnet), address).await?;
        congestion::choose(eni.inside()).await?;
        let log = self.state.file(&format!("{}.log", host(subnet)));
        let daemon = Daemon::serving(eni.inside(), program, arguments, log).await?;
        self.servers.push(Server { _daemon: daemon, eni });
        Ok(())
    }

    /// The way to these leads through the proxy, and they are the API servers.
    async fn open(&mut self, subnets: Vec<Subnet>) -> anyhow::Result<()> {
        let backends = subnets.iter().copied().map(backend).collect();
        let router = self.network.router();
        router.run(lead_through_proxy(subnets)).await.context("routing through the proxy")?;
        self.publish(backends);
        Ok(())
    }

    pub(crate) async fn without_servers(wires: Wires) -> anyhow::Result<Self> {
        let (state, _) = State::claim(LAB)?;
        state::mount_bpffs()?;
        let mut network = Network::vpc(LAB, wires).await?;
        let (client, proxy) = (network.client().await?, network.proxy().await?);
        for place in [&client, &proxy] {
            congestion::choose(place.inside()).await?;
        }
        let (plan, zone) = (Plan::vpc(false), Zone::new(TTL));
        let resolver = resolver::serve(zone.clone(), plan.resolver);
        let resolver = network.router().run(resolver).await?;
        Ok(Self {
            servers: Vec::new(),
            _resolver: resolver,
            client,
            proxy,
            network: network.into(),
            backends: Vec::new(),
            zone,
            plan,
            state,
        })
    }

    /// These are the API servers.
    pub(crate) fn publish(&mut self, backends: Vec<SocketAddr>) {
        self.zone.set(ENDPOINT, backends.iter().map(SocketAddr::ip).collect());
        self.backends = backends;
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    pub(crate) fn client(&self) -> &Inside {
        self.client.inside()
    }

    pub(crate) fn servers(&self) -> Vec<Inside> {
        self.servers.iter().map(|server| server.eni.inside().clone()).collect()
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

    /// See [`tables`].
    pub(crate) fn table_bytes_each(&self) -> anyhow::Result<f64> {
        tables::bytes_each(&self.state)
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

fn host(subnet: Subnet) -> String {
    format!("eni-{subnet}")
}

fn backend(subnet: Subnet) -> SocketAddr {
    let plan = Plan::vpc(false);
    (subnet.address(plan.prefix, FIRST_HOST), plan.api_port).into()
}

async fn lead_through_proxy(subnets: Vec<Subnet>) -> anyhow::Result<()> {
    let links = Links::open()?;
    links.table_via(THROUGH_PROXY, &router_link("proxy"), plan::PROXY).await?;
    let hosts = subnets.into_iter().map(host).chain(["client".to_owned()]);
    for host in hosts {
        links.look_up_from(&router_link(&host), THROUGH_PROXY).await?;
    }
    Ok(())
}
