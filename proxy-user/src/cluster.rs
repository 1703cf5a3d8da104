//! One cluster: its endpoint kept resolved, its ENIs probed, snapshots of what came of it, and the
//! accounts of connections to it.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    backends::Snapshot,
    config::{Config, HostName, Refusal, Route},
    control::Control,
    datapath::{age::MaxAge, interface, ledger::Ledger, reaper::Reaper},
    discovery::{Discovery, Keeper, Refresh, Resolver, Sieve, Store},
    health::{Probe, Suspects},
    journal::{Journal, Kind},
    report::RouteFacts,
};

pub struct Cluster {
    pub route: Route,
    pub ledger: Arc<Ledger>,
    pub control: Control,
    pub suspects: Suspects,
    discovery: Discovery,
    resolvers: Vec<SocketAddr>,
    reaper: Reaper,
}

impl Cluster {
    /// Asks nobody anything yet.
    pub fn new(config: &Config, route: &Route, journal: &Journal) -> anyhow::Result<Self> {
        let Route { listen, endpoint, .. } = route;
        let sieve = Sieve::new(*listen, interface::addresses);
        let resolver = Resolver::new(&endpoint.host, &config.resolvers, sieve)?;
        let resolvers = resolver.servers();
        let probe = Probe::new(endpoint, &config.health)?;
        let keeper = Keeper::new(open_store(config, &endpoint.host, journal)?, journal.clone());
        let refresh = Refresh::default();
        let discovery =
            Discovery::new(resolver, config.ttl, refresh.clone(), keeper, journal.clone());
        let suspects = Suspects::new(refresh);
        let known = discovery.knowledge();
        let port = endpoint.port;
        let control = Control::new(config, port, probe, suspects.clone(), known, journal.clone());
        let ledger = Arc::<Ledger>::default();
        let reaper = Reaper {
            ledger: ledger.clone(),
            snapshots: control.snapshots(),
            max_age: config.life.max_age.map(MaxAge::new),
            window: config.packet.reset_window,
        };
        let route = route.clone();
        Ok(Self { route, ledger, control, suspects, discovery, resolvers, reaper })
    }

    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.control.snapshots()
    }

    pub fn facts(&self) -> RouteFacts {
        RouteFacts {
            route: self.route.clone(),
            resolvers: self.resolvers.clone(),
            knowledge: self.discovery.knowledge(),
            snapshots: self.control.snapshots(),
            probes: self.control.probes(),
            transitions: self.control.transitions(),
            ledger: self.ledger.clone(),
        }
    }

    /// None of its tasks ends by itself.
    pub fn run(self, tasks: &mut JoinSet<anyhow::Result<()>>) {
        let Self { discovery, control, reaper, .. } = self;
        tasks.spawn(async {
            discovery.run().await;
            Ok(())
        });
        tasks.spawn(async {
            control.run().await;
            Ok(())
        });
        tasks.spawn(async {
            reaper.run().await;
            Ok(())
        });
    }
}

/// A folder that was asked for must do; the default one is a good to have.
fn open_store(
    config: &Config,
    host: &HostName,
    journal: &Journal,
) -> Result<Option<Store>, Refusal> {
    let folder = &config.state.folder;
    match Store::open(folder, host) {
        Ok(store) => Ok(Some(store)),
        Err(wrong) if config.state.is_given => {
            Err(Refusal::new("state-dir", folder.display(), wrong))
        }
        Err(wrong) => {
            let shown = folder.display();
            let message = format!("{shown}: {wrong}, with --state-dir: answers are not saved");
            journal.warn(Kind::Dns, message);
            Ok(None)
        }
    }
}
