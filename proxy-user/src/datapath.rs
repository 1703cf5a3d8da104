//! Chooses what moves the bytes, and says why.

mod account;
pub mod age;
pub mod carry;
pub mod flow_log;
pub mod flows;
pub mod interface;
pub mod kernel;
pub mod ledger;
pub mod limits;
pub mod listener;
pub mod mover;
mod pick;
pub mod preface;
pub mod reach;
pub mod reaper;
pub mod relay;
pub mod requirements;
pub mod routes;
mod socket;
pub mod sockmap;
pub mod tally;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use tracing::info;

use self::{
    kernel::{Attachment, Hook, Kernel},
    mover::Mover,
    sockmap::Sockmap,
};
use crate::config::{Config, DatapathChoice, HookChoice, InterfaceName, PacketConfig, Refusal};

pub struct Datapath {
    pub reason: String,
    /// `None`: the listener takes everything.
    pub packet: Option<Packet>,
    /// `None`: what the listener takes is relayed.
    pub sockmap: Option<Arc<Sockmap>>,
}

pub struct Packet {
    pub kernel: Kernel,
    pub interface: String,
}

impl Datapath {
    pub fn name(&self) -> &'static str {
        match (&self.packet, &self.sockmap) {
            (Some(_), _) => "packet",
            (None, Some(_)) => "sockmap",
            (None, None) => "relay",
        }
    }

    /// For what the listener accepts.
    pub fn mover(&self) -> Mover {
        self.sockmap.clone().map_or(Mover::Relay, Mover::Sockmap)
    }

    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        interface::must_be_there(config)?;
        if config.packet.fresh {
            start_afresh(&config.packet)?;
        }
        must_not_be_passed_by(config)?;
        match config.datapath {
            DatapathChoice::Relay => Ok(Self::relay("asked for by --datapath relay")),
            DatapathChoice::Packet => {
                Self::packet(plan(config)?, "asked for by --datapath packet").await
            }
            DatapathChoice::Sockmap => {
                let sockmap = Some(tested_sockmap(config).await?);
                let reason = "asked for by --datapath sockmap, and its self-test has passed";
                Ok(Self { reason: reason.into(), packet: None, sockmap })
            }
            DatapathChoice::Auto => Self::best(config).await,
        }
    }

    async fn best(config: &Config) -> anyhow::Result<Self> {
        if let Some(what) = config.needs_the_listener() {
            return Ok(Self::relay(what));
        }
        let attachment = match plan(config) {
            Ok(attachment) => attachment,
            Err(refusal) => return Ok(Self::relay(format!("no packet path: {refusal}"))),
        };
        // An earlier agent's program goes on forwarding: a relay beside it would see nothing.
        let is_takeover = attachment.pin_dir.exists();
        match Self::packet(attachment, "this host can carry the packet path").await {
            Err(error) if !is_takeover => Ok(Self::relay(format!("no packet path: {error:#}"))),
            result => result,
        }
    }

    fn relay(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), packet: None, sockmap: None }
    }

    async fn packet(attachment: Attachment, reason: &str) -> anyhow::Result<Self> {
        let interface = attachment.interface.clone();
        let kernel = spawn_blocking(move || Kernel::attach(&attachment))
            .await
            .context("attaching the packet path")??;
        let packet = Some(Packet { kernel, interface });
        Ok(Self { reason: reason.into(), packet, sockmap: None })
    }
}

/// An earlier agent's program would take connections past a listener that is to look at them.
pub fn must_not_be_passed_by(config: &Config) -> Result<(), Refusal> {
    match config.needs_the_listener() {
        Some(what) if config.packet.pin_dir.exists() => {
            let pins = config.packet.pin_dir.display();
            let wrong = format!(
                "{what}, and the packet path of an earlier agent, in {pins}, would lead connections \
                 past it; run `enigate detach`, or give --fresh: both end the connections there"
            );
            Err(Refusal::new("datapath", config.datapath, wrong))
        }
        _ => Ok(()),
    }
}

/// Made and tried out on loopback, so that a kernel which cannot be trusted with it is refused.
pub async fn tested_sockmap(config: &Config) -> Result<Arc<Sockmap>, Refusal> {
    let refused = |wrong: String| {
        let wrong = format!("{wrong}; use --datapath relay or packet");
        Refusal::new("datapath", DatapathChoice::Sockmap, wrong)
    };
    let missing = requirements::missing();
    if !missing.is_empty() {
        return Err(refused(missing.join("; ")));
    }
    let sockmap = Sockmap::open(config.packet.connections);
    let sockmap = Arc::new(sockmap.map_err(|error| refused(format!("{error:#}")))?);
    match sockmap.self_test().await {
        Ok(()) => Ok(sockmap),
        Err(failed) => Err(refused(failed.to_string())),
    }
}

fn start_afresh(packet: &PacketConfig) -> anyhow::Result<()> {
    let interface = packet.interface.as_ref().map(InterfaceName::as_str);
    let removed = kernel::detach(&packet.pin_dir, interface).context("--fresh")?;
    removed.iter().for_each(|what| info!("--fresh: removed {what}"));
    Ok(())
}

/// How the packet path would be attached here, or why it cannot be.
pub fn plan(config: &Config) -> Result<Attachment, Refusal> {
    let missing = requirements::missing();
    if !missing.is_empty() {
        let wrong = format!("{}; provide it, or use --datapath relay", missing.join("; "));
        return Err(Refusal::new("datapath", "packet", wrong));
    }
    // The packet path has one route: several need the listener.
    let listen = config.routes[0].listen;
    Ok(Attachment {
        interface: interface::choose(config.packet.interface.as_ref(), listen)?,
        listen,
        hook: hook(config.packet.hook),
        pin_dir: config.packet.pin_dir.clone(),
        connections: config.packet.connections,
        source_ports: config.packet.source_ports,
        timeouts: config.packet.timeouts,
        reset_window: config.packet.reset_window,
        mss_clamp: config.packet.mss_clamp,
        max_age: config.life.max_age,
        events: config.log.flows,
        log: config.log.ebpf,
    })
}

fn hook(choice: HookChoice) -> Hook {
    match choice {
        HookChoice::Auto => Hook::Auto,
        HookChoice::Tcx => Hook::Tcx,
        HookChoice::Clsact => Hook::Clsact,
        HookChoice::Xdp => Hook::Xdp,
        HookChoice::XdpGeneric => Hook::XdpGeneric,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PinDir, ProxyProtocol, Settings};

    #[tokio::test]
    async fn a_listener_that_must_look_at_connections_is_not_passed_by() {
        let pins = tempfile::tempdir().unwrap();
        let pin_dir: PinDir = pins.path().to_str().unwrap().parse().unwrap();
        let given = |proxy_protocol| Settings {
            endpoint: Some("api.example".parse().unwrap()),
            datapath: Some(DatapathChoice::Relay),
            pin_dir: Some(pin_dir.clone()),
            proxy_protocol,
            ..Settings::default()
        };
        let open = async |given| Datapath::open(&Config::load(given, None).unwrap()).await;
        let refused = open(given(Some(ProxyProtocol::V2))).await.err().expect("refused");
        assert!(refused.to_string().contains("`enigate detach`"), "{refused}");
        assert_eq!(open(given(None)).await.unwrap().name(), "relay", "it hides nothing");
        drop(pins);
        assert_eq!(open(given(Some(ProxyProtocol::V2))).await.unwrap().name(), "relay");
    }
}
