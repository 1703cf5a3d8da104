//! The whole lab: start it, use its parts, take it down. Read this first.

use std::{fs, net::SocketAddr, process::Output};

use anyhow::Context as _;
use hickory_server::Server;
use tokio::sync::watch;

use crate::{
    admin::Admin,
    agent::Agent,
    client::Client,
    control_plane::ControlPlane,
    eni::{Eni, Subnet},
    flood,
    held::Held,
    kubectl,
    load::{Load, Mix},
    network::Network,
    pki::Pki,
    place::Place,
    plan::{self, ENDPOINT, Plan},
    resolver,
    rotation::{self, RotationReport, Step},
    state::{self, State},
    unbound::Unbound,
    zone::Zone,
};

pub use self::more::Cluster;
pub use crate::options::Options;

mod conditions;
mod launching;
mod more;

const AUTHORITY: &str = "ca.pem";
/// The agent's folder for what it knew last.
const ANSWERS: &str = "answers";

/// Dropping it takes everything down as well, but cannot say what went wrong.
pub struct Lab {
    // Dropped in this order: who uses a part goes before it.
    agent: Agent,
    client: Client,
    plane: ControlPlane,
    _unbound: Option<Unbound>,
    _resolver: Server<resolver::Answers>,
    proxy_place: Place,
    client_place: Place,
    step: watch::Sender<Step>,
    state: State,
}

impl Lab {
    /// Removes what a crashed lab of this name has left, and says what. Refuses a running one.
    pub fn clean(name: &str) -> anyhow::Result<Vec<String>> {
        State::claim(name).map(|(_, removed)| removed)
    }

    pub async fn start(
        name: &str,
        options: Options,
        progress: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        options.check()?;
        let (state, removed) = State::claim(name)?;
        removed.iter().for_each(|what| progress(&format!("removed, from an earlier run: {what}")));

        progress("network: client, router, proxy");
        let (mut network, plan) = network(name, &options).await?;
        let client_place = network.client().await?;
        let proxy_place = network.proxy().await?;

        progress("control plane: ENIs with an API server each");
        let (resolver, plane, client) =
            control_plane(network, plan, &options, &client_place, &state).await?;

        progress("agent: until it is ready");
        let launch = launching::launch(name, &options, &plan, &state)?;
        let unbound = match options.unbound {
            true => Some(launching::unbound(&launch, &plan, &plane, &state).await?),
            false => None,
        };
        let admin = Admin::new(proxy_place.inside().clone(), plan.admin)?;
        let agent = Agent::start(launch, proxy_place.inside().clone(), admin).await?;
        Ok(Self {
            agent,
            client,
            plane,
            _unbound: unbound,
            _resolver: resolver,
            proxy_place,
            client_place,
            step: watch::Sender::new(Step::Idle),
            state,
        })
    }

    pub fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// The agent's admin endpoint, for those who cannot hold on to the lab.
    pub fn admin(&self) -> Admin {
        self.agent.admin().clone()
    }

    pub fn zone(&self) -> &Zone {
        &self.plane.zone
    }

    pub fn enis(&self) -> &[Eni] {
        &self.plane.enis
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Over IPv6, which the proxy listens on in a dual-stack lab.
    pub fn client_v6(&self) -> anyhow::Result<Client> {
        self.client.to((plan::v6_of(plan::PROXY), self.client.proxy().port()).into())
    }

    /// So many SYNs from as many addresses and ports that nobody has: no answer is answered. One more
    /// connection, to an echo server, paces them. Returns when the last is sent.
    pub async fn syn_flood(&self, count: u32) -> anyhow::Result<()> {
        self.plane.network.lose_at_client(flood::SOURCES).await?;
        for eni in self.enis() {
            flood::answer_once(eni.inside()).await?;
        }
        let behind = self.client.hold().await?;
        flood::send(self.client.inside(), self.client.proxy(), count, behind).await
    }

    /// A connection that is held open, to echo servers, and the ENI that it came to: nothing else
    /// may connect meanwhile.
    pub async fn hold(&self, client: &Client) -> anyhow::Result<(SocketAddr, Held)> {
        let before: Vec<_> = self.enis().iter().map(Eni::connections).collect();
        let held = client.hold().await?;
        let mut served = self.enis().iter().zip(before).filter(|(eni, n)| eni.connections() > *n);
        let (eni, _) = served.next().context("no ENI has seen the connection")?;
        Ok((eni.address(), held))
    }

    /// What the agent has saved of the last good answer.
    pub fn saved_answer(&self) -> Option<String> {
        let file = self.state.file(ANSWERS).join(format!("{}.json", ENDPOINT.to_lowercase()));
        fs::read_to_string(file).ok()
    }

    /// As on an instance that has never run.
    pub fn forget_answers(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.state.file(ANSWERS)).context("removing the saved answers")
    }

    pub fn load(&self, mix: Mix) -> anyhow::Result<Load> {
        Load::start(&self.client, mix)
    }

    /// One more ENI that serves; `publish` tells the world.
    pub async fn add_eni(&mut self, subnet: Subnet) -> anyhow::Result<SocketAddr> {
        let eni = self.plane.create(subnet).await?;
        let address = eni.address();
        self.plane.enis.push(eni);
        Ok(address)
    }

    /// One more ENI that accepts connections and says nothing ever; `publish` tells the world.
    pub async fn add_mute_eni(&mut self, subnet: Subnet) -> anyhow::Result<SocketAddr> {
        let eni = self.plane.create_mute(subnet).await?;
        let address = eni.address();
        self.plane.enis.push(eni);
        Ok(address)
    }

    /// Takes an ENI away, and gives its address to an API server of another name and authority.
    pub async fn hand_over_eni(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.plane.hand_over(address).await
    }

    /// Takes an ENI away at once, with whatever is open; the zone still names it until `publish`.
    pub async fn remove_eni(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let eni = self.plane.take(address)?;
        eni.remove(&self.plane.network).await
    }

    /// The zone's answer is the present ENIs from now on.
    pub fn publish(&self) {
        self.plane.publish();
    }

    pub async fn rotate(&mut self) -> anyhow::Result<RotationReport> {
        rotation::rotate(&mut self.plane, self.agent.admin(), &self.step).await
    }

    /// What a rotation is doing, for a view that is drawn meanwhile.
    pub fn step(&self) -> watch::Receiver<Step> {
        self.step.subscribe()
    }

    /// Runs kubectl against the proxy, inside the client; `None` where there is none on the PATH.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<Option<Output>> {
        let config = self.state.file("kubeconfig");
        kubectl::write_config(&config, &self.client, &self.state.file(AUTHORITY))?;
        kubectl::run(&self.client, config, arguments).await
    }

    /// Takes everything down; what stands behind a failure to do so is said.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let ended = match self.agent.id() {
            Some(_) => self.agent.terminate().await.map(|_| ()),
            None => Ok(()),
        };
        for eni in std::mem::take(&mut self.plane.enis) {
            eni.remove(&self.plane.network).await?;
        }
        ended.context("taking the agent down")
    }
}

async fn network(name: &str, options: &Options) -> anyhow::Result<(Network, Plan)> {
    if !options.privileged {
        return Ok((Network::loopback(name)?, Plan::loopback()?));
    }
    state::mount_bpffs()?;
    let network = Network::vpc(name, options.wires()).await?;
    Ok((network, Plan::vpc(options.dual_stack)))
}

/// The private zone and who answers from it, the ENIs, and a client that trusts them.
async fn control_plane(
    network: Network,
    plan: Plan,
    options: &Options,
    client: &Place,
    state: &State,
) -> anyhow::Result<(Server<resolver::Answers>, ControlPlane, Client)> {
    let zone = Zone::new(options.ttl);
    let address = if options.unbound { plan.zone_server } else { plan.resolver };
    let resolver = network.router().run(resolver::serve(zone.clone(), address)).await?;
    let pki = Pki::for_name(ENDPOINT)?;
    state.write(AUTHORITY, &pki.authority_pem)?;
    let mut plane = ControlPlane::new(network, zone, plan, options.service, pki.server);
    plane.create_first(options.enis).await?;
    let client = Client::new(client.inside().clone(), plan.proxy, pki.client)?;
    Ok((resolver, plane, client))
}
