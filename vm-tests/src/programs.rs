//! Which programs sit at the ingress of a host's link, as the kernel says, whoever attached them.

use anyhow::Context as _;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, TcAttachType, tc};

use crate::links::{HOST_LINK, Links, XdpMode};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// By name, in the order in which they run.
    pub tcx: Vec<String>,
    /// Filters of clsact.
    pub clsact: usize,
    pub xdp: Option<XdpMode>,
}

impl Programs {
    /// Anything at all, at either of TC's hooks.
    pub fn is_at_tc(&self) -> bool {
        !self.tcx.is_empty() || self.clsact > 0
    }
}

/// Linux has it from 6.6 on.
pub fn has_tcx() -> bool {
    at_tcx("lo").is_ok()
}

fn at_tcx(link: &str) -> Result<Vec<ProgramInfo>, ProgramError> {
    SchedClassifier::query_tcx(link, TcAttachType::Ingress).map(|(_, programs)| programs)
}

/// The agent's filter of clsact. Call it inside the host's namespace.
pub(crate) fn clear_clsact() -> anyhow::Result<()> {
    let cleared = tc::qdisc_detach_program(HOST_LINK, TcAttachType::Ingress, "enigate_tc");
    cleared.context("removing the filter")
}

/// Call it inside the host's namespace.
pub(crate) async fn on_host_link() -> anyhow::Result<Programs> {
    let links = Links::open()?;
    let tcx =
        if has_tcx() { at_tcx(HOST_LINK).context("asking for TCX programs")? } else { vec![] };
    Ok(Programs {
        tcx: tcx.iter().map(|program| program.name_as_str().unwrap_or("?").to_owned()).collect(),
        clsact: links.ingress_filters(HOST_LINK).await?,
        xdp: links.xdp(HOST_LINK).await?,
    })
}
