//! What a router does with connection tracking: DNAT to a random ENI, and masquerade.

use std::{net::SocketAddr, process::Stdio};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::{
    bench::{needs::Needs, site::Site},
    links::HOST_LINK,
    plan::PROXY,
};

pub(super) const NEEDS: Needs = Needs { program: "nft", also: None, packages: "nftables" };

const FILE: &str = "nat.nft";

/// The rules end with the namespace.
pub(super) async fn start(site: &Site) -> anyhow::Result<()> {
    let file = site.write(FILE, &ruleset(site.backends()))?;
    let load = async move {
        let done = Command::new(NEEDS.program).arg("-f").arg(file).stdin(Stdio::null()).output();
        let done = done.await.context("running nft")?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "nft: {}: {said}", done.status);
        Ok(())
    };
    site.proxy().run(load).await
}

pub(super) fn ruleset(backends: &[SocketAddr]) -> String {
    let choices: Vec<_> =
        backends.iter().enumerate().map(|(number, at)| format!("{number} : {}", at.ip())).collect();
    let (count, choices) = (backends.len(), choices.join(", "));
    format!(
        "table ip appliance {{\n\
         \tchain in {{\n\
         \t\ttype nat hook prerouting priority dstnat\n\
         \t\tip daddr {PROXY} tcp dport 443 dnat to numgen random mod {count} map {{ {choices} }}\n\
         \t}}\n\
         \tchain out {{\n\
         \t\ttype nat hook postrouting priority srcnat\n\
         \t\toifname \"{HOST_LINK}\" masquerade\n\
         \t}}\n\
         }}\n"
    )
}
