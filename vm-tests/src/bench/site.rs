//! The lab of one contender in one round, from nothing: no port rests there, no table is warm.
//!
//! As in [`crate::lab`], a router with one link to each host; but here the way between client and
//! ENIs always leads through the proxy's one link, so that the plain path is no shorter than
//! anybody's.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use hickory_server::Server;

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
    // Dropped in this order: processes first, then where they ran.
    _servers: Vec<Daemon>,
    _resolver: Server<resolver::Answers>,
    client: Place,
    proxy: Place,
    _enis: Vec<Place>,
    _network: Network,
    backends: Vec<SocketAddr>,
    plan: Plan,
    folder: PathBuf,
    state: State,
}

impl Site {
    pub(crate) async fn build(load: &Path) -> anyhow::Result<Self> {
        let (state, _) = State::claim(LAB)?;
        state::mount_bpffs()?;
        let plan = Plan::vpc(false);
        let mut network = Network::vpc(LAB, Wires::default()).await?;
        let (client, proxy) = (network.client().await?, network.proxy().await?);
        let folder = state.file("");
        let (mut enis, mut servers, mut backends) = (Vec::new(), Vec::new(), Vec::new());
        let mut hosts = vec!["client".to_owned()];
        for subnet in Subnet::ALL {
            let host = format!("eni-{subnet}");
            let address = subnet.address(plan.prefix, FIRST_HOST);
            let eni = network.eni(&host, address).await?;
            let backend = SocketAddr::from((address, plan.api_port));
            servers.push(serve(eni.inside(), load, backend, &folder).await?);
            (enis.push(eni), hosts.push(host), backends.push(backend));
        }
        network
            .router()
            .run(lead_through_proxy(hosts))
            .await
            .context("routing through the proxy")?;
        let resolver =
            network.router().run(resolver::serve(zone(&backends), plan.resolver)).await?;
        Ok(Self {
            _servers: servers,
            _resolver: resolver,
            client,
            proxy,
            _enis: enis,
            _network: network,
            backends,
            plan,
            folder,
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

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
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
        let log = self.folder.join(format!("{program}.log"));
        Daemon::start(inside, &path, arguments, log).await
    }
}

/// Where the API servers of every site are.
pub(crate) fn backends() -> Vec<SocketAddr> {
    let plan = Plan::vpc(false);
    let address = |subnet: Subnet| (subnet.address(plan.prefix, FIRST_HOST), plan.api_port).into();
    Subnet::ALL.map(address).into()
}

fn zone(backends: &[SocketAddr]) -> Zone {
    let zone = Zone::new(TTL);
    zone.set(ENDPOINT, backends.iter().map(SocketAddr::ip).collect());
    zone
}

async fn serve(
    inside: &Inside,
    load: &Path,
    address: SocketAddr,
    folder: &Path,
) -> anyhow::Result<Daemon> {
    let arguments = ["serve".to_owned(), "--listen".to_owned(), address.to_string()];
    let log = folder.join(format!("{}.log", address.ip()));
    Daemon::start(inside, load, arguments.into(), log).await
}

async fn lead_through_proxy(hosts: Vec<String>) -> anyhow::Result<()> {
    let links = Links::open()?;
    links.table_via(THROUGH_PROXY, &router_link("proxy"), plan::PROXY).await?;
    for host in hosts {
        links.look_up_from(&router_link(&host), THROUGH_PROXY).await?;
    }
    Ok(())
}
