//! What EKS does on its side: ENIs come and go, and the private zone says which there are.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustls::{ClientConfig, ServerConfig};

use crate::{
    eni::{Eni, Subnet},
    network::Network,
    pki::Pki,
    plan::{ENDPOINT, Plan},
    service::Service,
    zone::Zone,
};

/// Addresses below are the router's and AWS's own.
const FIRST_HOST: u8 = 10;
const LAST_HOST: u8 = 250;
/// Whom a certificate is for that is not the endpoint's.
const SOMEBODY_ELSE: &str = "somebody-else.example";

pub(crate) struct ControlPlane {
    pub network: Arc<Network>,
    pub zone: Zone,
    pub enis: Vec<Eni>,
    plan: Plan,
    service: Service,
    tls: Arc<ServerConfig>,
    next_host: u8,
}

impl ControlPlane {
    pub(crate) fn new(
        network: impl Into<Arc<Network>>,
        zone: Zone,
        plan: Plan,
        service: Service,
        tls: Arc<ServerConfig>,
    ) -> Self {
        Self {
            network: network.into(),
            zone,
            enis: Vec::new(),
            plan,
            service,
            tls,
            next_host: FIRST_HOST,
        }
    }

    /// An ENI that serves; nobody is told of it yet.
    pub(crate) async fn create(&mut self, subnet: Subnet) -> anyhow::Result<Eni> {
        let address = self.next_address(subnet);
        self.create_at(subnet, address, self.service, &self.tls).await
    }

    /// One that accepts connections and says nothing ever.
    pub(crate) async fn create_mute(&mut self, subnet: Subnet) -> anyhow::Result<Eni> {
        let address = self.next_address(subnet);
        let eni = self.create_at(subnet, address, Service::Echo, &self.tls).await?;
        eni.read(false);
        Ok(eni)
    }

    /// The address goes to somebody else, and stays in the zone.
    pub(crate) async fn hand_over(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let IpAddr::V4(host) = address.ip() else { bail!("{address}: is not over IPv4") };
        let eni = self.take(address)?;
        let subnet = eni.subnet();
        eni.remove(&self.network).await?;
        let tls = Pki::for_name(SOMEBODY_ELSE)?.server;
        self.enis.push(self.create_at(subnet, host, Service::ApiServer, &tls).await?);
        Ok(())
    }

    /// Another cluster: one ENI, its name in the zone, and what its clients trust.
    pub(crate) async fn second(&mut self, name: &str) -> anyhow::Result<(Eni, ClientConfig)> {
        let pki = Pki::for_name(name)?;
        let address = self.next_address(Subnet::A);
        let eni = self.create_at(Subnet::A, address, self.service, &pki.server).await?;
        self.zone.set(name, eni.addresses().iter().map(SocketAddr::ip).collect());
        Ok((eni, pki.client))
    }

    fn next_address(&mut self, subnet: Subnet) -> Ipv4Addr {
        let address = subnet.address(self.plan.prefix, self.next_host);
        self.next_host = if self.next_host == LAST_HOST { FIRST_HOST } else { self.next_host + 1 };
        address
    }

    async fn create_at(
        &self,
        subnet: Subnet,
        address: Ipv4Addr,
        service: Service,
        tls: &Arc<ServerConfig>,
    ) -> anyhow::Result<Eni> {
        Eni::create(&self.network, subnet, address, service, &self.plan, tls)
            .await
            .with_context(|| format!("creating the ENI {address}"))
    }

    /// What the cluster starts with, and the zone's first answer.
    pub(crate) async fn create_first(&mut self, count: usize) -> anyhow::Result<()> {
        for subnet in Subnet::ALL.into_iter().cycle().take(count) {
            let eni = self.create(subnet).await?;
            self.enis.push(eni);
        }
        self.publish();
        Ok(())
    }

    /// The zone has the present ENIs and no others from now on.
    pub(crate) fn publish(&self) {
        let addresses = self.addresses().iter().map(SocketAddr::ip).collect();
        self.zone.set(ENDPOINT, addresses);
    }

    /// Where the resolver is, as a load balancer may be too.
    pub(crate) fn resolver(&self) -> IpAddr {
        self.plan.resolver.ip()
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.enis.iter().flat_map(Eni::addresses).copied().collect()
    }

    pub(crate) fn take(&mut self, address: SocketAddr) -> anyhow::Result<Eni> {
        let at = self.enis.iter().position(|eni| eni.address() == address);
        at.map(|at| self.enis.remove(at)).with_context(|| format!("there is no ENI {address}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{client::Client, place::Place};

    #[tokio::test]
    async fn an_eni_answers_by_itself_and_its_name_is_in_the_zone() {
        let plan = Plan::loopback().expect("ports");
        let pki = Pki::for_name(ENDPOINT).expect("certificates");
        let zone = Zone::new(Duration::from_secs(1));
        let network = Network::loopback("unit_plane").expect("network");
        let mut plane =
            ControlPlane::new(network, zone.clone(), plan, Service::ApiServer, pki.server);
        plane.create_first(2).await.expect("two ENIs");
        let addresses = plane.addresses();
        assert_eq!(zone.addresses(ENDPOINT), Some(addresses.iter().map(SocketAddr::ip).collect()));

        let place = Place::host("unit_plane-client").expect("client");
        let client = Client::new(place.inside().clone(), addresses[1], pki.client).expect("client");
        let reply = client.get("/readyz").await.expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(reply.eni, addresses[1].ip().to_string());
    }
}
