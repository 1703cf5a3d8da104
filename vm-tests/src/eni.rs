//! A control-plane ENI: an address in one of three subnets, with an API server behind it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use rustls::ServerConfig;
use tokio::sync::watch;

use crate::{
    apiserver::ApiServer,
    banter, echo,
    links::{HOST_LINK, Links},
    network::Network,
    place::{Inside, Place},
    plan::{self, Plan},
    service::{Counters, Heard, Service, Serving, Stopped, until_sum},
    talk,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subnet {
    A,
    B,
    C,
}

/// Serves until it is removed or the lab is stopped.
pub struct Eni {
    subnet: Subnet,
    /// One, or one of each family, IPv4 first.
    addresses: Vec<SocketAddr>,
    host: String,
    place: Place,
    counters: Arc<Counters>,
    reading: watch::Sender<bool>,
    /// One for each address.
    servers: Vec<Server>,
}

enum Server {
    Api(ApiServer),
    Bare(Serving),
}

impl Subnet {
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// The third octet of its addresses.
    fn octet(self) -> u8 {
        match self {
            Self::A => 21,
            Self::B => 22,
            Self::C => 23,
        }
    }

    /// Which subnet an address is in, if any.
    pub fn of(address: IpAddr) -> Option<Self> {
        Self::ALL.into_iter().find(|subnet| match address {
            IpAddr::V4(address) => address.octets()[2] == subnet.octet(),
            IpAddr::V6(address) => {
                let like = plan::v6_of(subnet.address([10, 0], 1));
                address.segments()[..4] == like.segments()[..4]
            }
        })
    }

    pub(crate) fn address(self, prefix: [u8; 2], host: u8) -> Ipv4Addr {
        Ipv4Addr::new(prefix[0], prefix[1], self.octet(), host)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        })
    }
}

impl Eni {
    pub(crate) async fn create(
        network: &Network,
        subnet: Subnet,
        address: Ipv4Addr,
        service: Service,
        plan: &Plan,
        tls: &Arc<ServerConfig>,
    ) -> anyhow::Result<Self> {
        let host = format!("eni-{subnet}-{}", address.octets()[3]);
        let place = network.eni(&host, address).await?;
        let addresses = addresses(address, plan);
        let counters = Arc::new(Counters::default());
        let reading = watch::Sender::new(true);
        let mut servers = Vec::new();
        for address in &addresses {
            let (tls, counters) = (tls.clone(), counters.clone());
            let may_read = reading.subscribe();
            let server = Server::start(place.inside(), *address, service, tls, counters, may_read);
            servers.push(server.await?);
        }
        Ok(Self { subnet, addresses, host, place, counters, reading, servers })
    }

    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The one that it is known by.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// What the zone says of it.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Those that got as far as saying something: the agent's probes are not among them.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Relaxed)
    }

    /// HTTP requests.
    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Relaxed)
    }

    pub fn heard(&self) -> Heard {
        *self.counters.heard.borrow()
    }

    /// Connections that the other side reset, where the service is `Echo`.
    pub fn resets(&self) -> u64 {
        *self.counters.resets.borrow()
    }

    /// Waits until these have heard of so many, all together.
    pub async fn until_resets(enis: &[Self], resets: u64) {
        let heard = enis.iter().map(|eni| eni.counters.resets.subscribe()).collect();
        until_sum(heard, |resets| *resets, resets).await;
    }

    /// The same of connections that have ended in order, where the service is `Banter`.
    pub async fn until_whole(enis: &[Self], whole: u64) {
        let heard = enis.iter().map(|eni| eni.counters.heard.subscribe()).collect();
        until_sum(heard, |heard: &Heard| heard.whole, whole).await;
    }

    /// Whether its servers read what has come, where the service is `Echo`.
    pub fn read(&self, on: bool) {
        self.reading.send_replace(on);
    }

    /// Payload of the largest segment that its echo server may send on its newest connection, in
    /// bytes; 0 before there was one.
    pub fn segment_size(&self) -> u32 {
        self.counters.segment_size.load(Relaxed)
    }

    /// From here on packets to it are lost without a word.
    pub async fn link_down(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.place.netns().is_some(),
            "{} is on loopback: there is no link to take down",
            self.host
        );
        self.place.inside().run(async { Links::open()?.down(HOST_LINK).await }).await
    }

    pub(crate) fn inside(&self) -> &Inside {
        self.place.inside()
    }

    /// Its servers are gone with all their connections; the host is there, and refuses new ones.
    pub(crate) async fn hang_up(&mut self) {
        for server in self.servers.drain(..) {
            server.vanish().await;
        }
    }

    /// GOAWAY to all connections; `retire` waits for their end.
    pub(crate) fn say_goodbye(&self) {
        self.servers.iter().for_each(Server::say_goodbye);
    }

    /// Lets requests end, closes watches, then goes; an error says that connections were left.
    pub(crate) async fn retire(self, network: &Network) -> anyhow::Result<()> {
        let gracefully = stop(self.servers).await;
        network.leave(&self.host, self.place).await?;
        anyhow::ensure!(gracefully?, "{} still had connections after its grace", self.host);
        Ok(())
    }

    /// Goes at once, with whatever is open.
    pub(crate) async fn remove(self, network: &Network) -> anyhow::Result<()> {
        network.leave(&self.host, self.place).await
    }
}

/// Did all connections end by themselves?
async fn stop(servers: Vec<Server>) -> anyhow::Result<bool> {
    let mut gracefully = true;
    for server in servers {
        gracefully &= server.stop().await? == Stopped::Gracefully;
    }
    Ok(gracefully)
}

fn addresses(v4: Ipv4Addr, plan: &Plan) -> Vec<SocketAddr> {
    let v6 = plan.dual_stack.then(|| plan::v6_of(v4).into());
    let all = [IpAddr::from(v4)].into_iter().chain(v6);
    all.map(|address| SocketAddr::new(address, plan.api_port)).collect()
}

impl Server {
    async fn start(
        inside: &Inside,
        address: SocketAddr,
        service: Service,
        tls: Arc<ServerConfig>,
        counters: Arc<Counters>,
        reading: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        match service {
            Service::ApiServer => {
                ApiServer::start(inside, address, tls, counters).await.map(Self::Api)
            }
            Service::Echo => {
                let serve = move |stream| echo::serve(stream, counters.clone(), reading.clone());
                Serving::start(inside, address, serve).await.map(Self::Bare)
            }
            Service::Talk => {
                let serve = move |stream| talk::serve(stream, counters.clone());
                Serving::start(inside, address, serve).await.map(Self::Bare)
            }
            Service::Banter => {
                let serve = move |stream| banter::serve(stream, counters.clone());
                Serving::start(inside, address, serve).await.map(Self::Bare)
            }
        }
    }

    async fn vanish(self) {
        match self {
            Self::Api(server) => server.vanish().await,
            Self::Bare(server) => server.vanish().await,
        }
    }

    fn say_goodbye(&self) {
        if let Self::Api(server) = self {
            server.say_goodbye();
        }
    }

    async fn stop(self) -> anyhow::Result<Stopped> {
        match self {
            Self::Api(server) => server.stop().await,
            // It knows no word of farewell: whoever is connected is cut off.
            Self::Bare(server) => {
                drop(server);
                Ok(Stopped::Gracefully)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_subnet() {
        for subnet in Subnet::ALL {
            let address = subnet.address([10, 0], 10);
            assert_eq!(Subnet::of(address.into()), Some(subnet));
            assert_eq!(Subnet::of(plan::v6_of(address).into()), Some(subnet));
        }
        assert_eq!(Subnet::of([10, 0, 10, 10].into()), None);
    }
}
