//! What a lab's hosts and ways are like, where a scenario has them otherwise; and what the kernel
//! says of them.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use aya::maps::{Map, MapData};
use proxy_common::{
    flow::{Flow, FlowKey},
    track::{Arm, Track},
};
use proxy_user::datapath::kernel::table::Table;
use tokio::{process::Command, time::sleep};

use super::Lab;
use crate::{
    eni::Eni,
    foreign::{Foreign, Spot},
    links::{HOST_LINK, Links},
    place::Inside,
    programs::{self, Programs, has_tcx},
    wire::sysctl,
};

const AGAIN: Duration = Duration::from_millis(20);

impl Lab {
    /// A setting of the client's kernel, for connections from now on.
    pub async fn tune_client(&self, key: &'static str, value: &'static str) -> anyhow::Result<()> {
        self.client.inside().run(async move { sysctl(key, value) }).await
    }

    pub async fn tune_enis(&self, key: &'static str, value: &'static str) -> anyhow::Result<()> {
        for eni in self.enis() {
            eni.inside().run(async move { sysctl(key, value) }).await?;
        }
        Ok(())
    }

    /// Connections from now on agree on segments that fit.
    pub async fn narrow_client(&self, mtu: u32) -> anyhow::Result<()> {
        narrow(self.client_place.inside(), mtu).await
    }

    pub async fn narrow_enis(&self, mtu: u32) -> anyhow::Result<()> {
        for eni in self.enis() {
            narrow(eni.inside(), mtu).await?;
        }
        Ok(())
    }

    /// The router loses one packet of so many, between any two hosts.
    pub async fn lose_one_in(&self, packets: u32) -> anyhow::Result<()> {
        let rules = format!(
            "table inet loss {{ chain forward {{ type filter hook forward priority 0; \
             numgen random mod {packets} == 0 drop; }}; }}"
        );
        let lose = async move {
            let nft = Command::new("nft").arg(rules).output().await.context("running nft")?;
            let said = String::from_utf8_lossy(&nft.stderr).into_owned();
            ensure!(nft.status.success(), "nft: {}: {said}", nft.status);
            Ok(())
        };
        self.plane.network.router().run(lose).await
    }

    /// What sits on the proxy's interface, as the kernel says.
    pub async fn programs(&self) -> anyhow::Result<Programs> {
        self.proxy_place.inside().run(programs::on_host_link()).await
    }

    /// Puts a program on the proxy's interface that is not the agent's.
    pub async fn attach_foreign(&self, spot: Spot) -> anyhow::Result<Foreign> {
        self.proxy_place.inside().run(async move { Foreign::on(HOST_LINK, spot) }).await
    }

    /// Takes the agent's program away from TC, whichever of its hooks the kernel has.
    pub async fn clear_tc(&self) -> anyhow::Result<()> {
        if has_tcx() {
            return self.state.unpin("link-tcx");
        }
        self.proxy_place.inside().run(async { programs::clear_clsact() }).await
    }

    /// One of the kernel's counters of `TcpExt`, as `nstat` calls it, of client and ENIs together;
    /// `None` if this kernel does not have it.
    pub async fn tcp_ext_of_ends(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let mut sum = None;
        let client = [self.client_place.inside()];
        for host in client.into_iter().chain(self.enis().iter().map(Eni::inside)) {
            sum = tcp_ext_of(host, name).await?.map(|count| count + sum.unwrap_or(0));
        }
        Ok(sum)
    }

    /// The same, of the agent's sockets.
    pub async fn tcp_ext_of_proxy(&self, name: &str) -> anyhow::Result<Option<u64>> {
        tcp_ext_of(self.proxy_place.inside(), name).await
    }

    /// No connection is in the flow table any more. Nothing tells when a map is empty: it is asked
    /// again until it is.
    pub async fn until_table_is_empty(&self) -> anyhow::Result<()> {
        let table: Table<FlowKey, Flow> = self.pinned("FLOWS")?.try_into()?;
        while let Some(entry) = table.iter().next() {
            entry?;
            sleep(AGAIN).await;
        }
        Ok(())
    }

    /// The kernel's records of accepted connections.
    pub fn tracks(&self) -> anyhow::Result<Vec<Track>> {
        let table: Table<FlowKey, Track> = self.pinned("TRACKS")?.try_into()?;
        Ok(table.iter().map(|entry| entry.map(|(_, track)| track)).collect::<Result<_, _>>()?)
    }

    /// What the agent has added to them.
    pub fn arms(&self) -> anyhow::Result<Vec<Arm>> {
        let table: Table<FlowKey, Arm> = self.pinned("ARMS")?.try_into()?;
        Ok(table.iter().map(|entry| entry.map(|(_, arm)| arm)).collect::<Result<_, _>>()?)
    }

    fn pinned(&self, name: &str) -> anyhow::Result<Map> {
        let path = self.state.pin(name)?;
        let map =
            MapData::from_pin(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Map::HashMap(map))
    }
}

async fn narrow(host: &Inside, mtu: u32) -> anyhow::Result<()> {
    host.run(async move { Links::open()?.set_mtu(HOST_LINK, mtu).await }).await
}

async fn tcp_ext_of(host: &Inside, name: &str) -> anyhow::Result<Option<u64>> {
    let text = host.run(async { netstat() }).await?;
    Ok(tcp_ext(&text, name))
}

/// Of the namespace of the thread that looks.
fn netstat() -> anyhow::Result<String> {
    fs::read_to_string("/proc/thread-self/net/netstat").context("reading the kernel's counters")
}

/// A line of names, and below it one of numbers.
fn tcp_ext(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|known| known == name)?;
    numbers.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_below_its_name() {
        let text = "TcpExt: SyncookiesSent PAWSEstab\nTcpExt: 3 9\nIpExt: PAWSEstab\nIpExt: 1\n";
        assert_eq!(tcp_ext(text, "PAWSEstab"), Some(9));
        assert_eq!(tcp_ext(text, "BeyondWindow"), None);
    }
}
