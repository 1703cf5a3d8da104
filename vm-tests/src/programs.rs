//! Which programs sit at the ingress of a host's link, as the kernel says, whoever attached them.

use anyhow::Context as _;
use aya::programs::{SchedClassifier, TcAttachType};

use crate::links::{HOST_LINK, Links, XdpMode};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// By name, in the order in which they run.
    pub tcx: Vec<String>,
    /// Filters of clsact.
    pub clsact: usize,
    pub xdp: Option<XdpMode>,
}

/// Call it inside the host's namespace.
pub(crate) async fn on_host_link() -> anyhow::Result<Programs> {
    let links = Links::open()?;
    let (_, tcx) = SchedClassifier::query_tcx(HOST_LINK, TcAttachType::Ingress)
        .context("asking for TCX programs")?;
    Ok(Programs {
        tcx: tcx.iter().map(|program| program.name_as_str().unwrap_or("?").to_owned()).collect(),
        clsact: links.ingress_filters(HOST_LINK).await?,
        xdp: links.xdp(HOST_LINK).await?,
    })
}
