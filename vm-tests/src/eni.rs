//! A control-plane ENI: an address in one of three subnets, with an API server behind it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use rustls::ServerConfig;

use crate::{
    apiserver::ApiServer,
    echo::Echo,
    links::{HOST_LINK, Links},
    network::Network,
    place::{Inside, Place},
    service::{Counters, Service, Stopped},
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
    address: SocketAddr,
    host: String,
    place: Place,
    counters: Arc<Counters>,
    server: Server,
}

enum Server {
    Api(ApiServer),
    Echo(Echo),
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
        let IpAddr::V4(address) = address else { return None };
        Self::ALL.into_iter().find(|subnet| subnet.octet() == address.octets()[2])
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
        address: (Ipv4Addr, u16),
        service: Service,
        tls: Arc<ServerConfig>,
    ) -> anyhow::Result<Self> {
        let host = format!("eni-{subnet}-{}", address.0.octets()[3]);
        let place = network.join(&host, address.0).await?;
        let address = address.into();
        let counters = Arc::new(Counters::default());
        let server = Server::start(place.inside(), address, service, tls, counters.clone()).await?;
        Ok(Self { subnet, address, host, place, counters, server })
    }

    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Those that got as far as saying something: the agent's probes are not among them.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Relaxed)
    }

    /// HTTP requests.
    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Relaxed)
    }

    /// Connections that the other side reset, where the service is `Echo`.
    pub fn resets(&self) -> u64 {
        self.counters.resets.load(Relaxed)
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

    /// GOAWAY to all connections; `retire` waits for their end.
    pub(crate) fn say_goodbye(&self) {
        self.server.say_goodbye();
    }

    /// Lets requests end, closes watches, then goes; an error says that connections were left.
    pub(crate) async fn retire(self, network: &Network) -> anyhow::Result<()> {
        let stopped = self.server.stop().await;
        network.leave(&self.host, self.place).await?;
        anyhow::ensure!(
            stopped? == Stopped::Gracefully,
            "{} still had connections after its grace",
            self.address
        );
        Ok(())
    }

    /// Goes at once, with whatever is open.
    pub(crate) async fn remove(self, network: &Network) -> anyhow::Result<()> {
        network.leave(&self.host, self.place).await
    }
}

impl Server {
    async fn start(
        inside: &Inside,
        address: SocketAddr,
        service: Service,
        tls: Arc<ServerConfig>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        match service {
            Service::ApiServer => {
                ApiServer::start(inside, address, tls, counters).await.map(Self::Api)
            }
            Service::Echo => Echo::start(inside, address, counters).await.map(Self::Echo),
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
            Self::Echo(server) => {
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
            assert_eq!(Subnet::of(subnet.address([10, 0], 10).into()), Some(subnet));
        }
        assert_eq!(Subnet::of([10, 0, 10, 10].into()), None);
    }
}
