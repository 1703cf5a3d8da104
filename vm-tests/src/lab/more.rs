//! What a lab has more of than one client and one cluster, where a scenario asks for it.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::Lab;
use crate::{client::Client, eni::Eni, nlb::Nlb};

/// Another cluster, with one ENI, until it is dropped.
pub struct Cluster {
    client: Client,
    eni: Eni,
}

impl Cluster {
    /// Asks for this cluster, and trusts no other.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn eni(&self) -> &Eni {
        &self.eni
    }
}

impl Lab {
    /// Its name is in the zone from here on.
    pub async fn second_cluster(&mut self, name: &str) -> anyhow::Result<Cluster> {
        let (eni, tls) = self.plane.second(name).await?;
        Ok(Cluster { client: self.client.of(name, tls)?, eni })
    }

    /// A load balancer in front of the proxy, whose clients come through this VPC endpoint.
    pub async fn nlb(&self, vpce: &str) -> anyhow::Result<Nlb> {
        let router = self.plane.network.router();
        Nlb::start(router, self.plane.resolver(), self.client.proxy(), vpce).await
    }

    /// The same client, by way of a load balancer.
    pub fn client_through(&self, nlb: &Nlb) -> anyhow::Result<Client> {
        self.client.to(nlb.address())
    }

    /// The ENI's API server is gone at once, with its connections; the host refuses new ones.
    pub async fn hang_up(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let eni = self.plane.enis.iter_mut().find(|eni| eni.address() == address);
        eni.with_context(|| format!("there is no ENI {address}"))?.hang_up().await;
        Ok(())
    }
}
