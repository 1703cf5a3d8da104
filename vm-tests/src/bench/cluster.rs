//! The lab where ENIs come and go: API servers in place of the load generator's, and clients that
//! ask them over TLS and HTTP/2.

use std::path::Path;

use anyhow::Context as _;

use super::{
    contender::{Contender, Running},
    site::Site,
};
use crate::{
    client::Client, control_plane::ControlPlane, eni::Subnet, pki::Pki, plan::ENDPOINT,
    service::Service,
};

pub(crate) struct Cluster {
    // Dropped in this order: who uses a part goes before it.
    _running: Running,
    pub client: Client,
    pub plane: ControlPlane,
    _site: Site,
}

impl Cluster {
    pub(crate) async fn build(contender: Contender, agent: &Path) -> anyhow::Result<Self> {
        let mut site =
            Site::without_servers(contender.wires()).await.context("building the lab")?;
        let pki = Pki::for_name(ENDPOINT)?;
        let (network, zone, plan) = (site.network().clone(), site.zone().clone(), *site.plan());
        let mut plane = ControlPlane::new(network, zone, plan, Service::ApiServer, pki.server);
        plane.create_first(Subnet::ALL.len()).await?;
        site.publish(plane.addresses());
        let running = contender.start(&site, agent).await?;
        let client = Client::new(site.client().clone(), plan.proxy, pki.client)?;
        Ok(Self { _running: running, client, plane, _site: site })
    }
}
