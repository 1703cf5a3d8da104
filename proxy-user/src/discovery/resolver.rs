//! Asks DNS: A and AAAA together, past every cache but the server's own.
//!
//! Several servers are asked in the order in which they are given: the next one as soon as the one
//! before has failed or been silent for a moment. The first good answer counts. One server that is
//! dead, or that answers nothing but SERVFAIL, so costs no more than that moment.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use hickory_resolver::{
    Resolver as Hickory,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
    system_conf::read_system_conf,
};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use super::{
    answer::{Answer, LookupError, Reply, merge},
    server::{Server, set_options},
    sieve::{Refused, Sieve, listed},
};
use crate::config::HostName;

/// Many times what a server of the own network takes.
const HEAD_START: Duration = Duration::from_millis(500);
/// Longer than any server is waited for.
const LAST: Duration = Duration::from_secs(60);

pub struct Resolver {
    servers: Vec<Server>,
    name: Name,
    sieve: Sieve,
}

/// What one lookup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub result: Result<Answer, LookupError>,
    /// Addresses that were left out of the result.
    pub refused: Refused,
    /// Why one family had no reply of its own, where the other had.
    pub half: Option<String>,
}

impl Resolver {
    /// Asks the host's servers where none are given.
    pub fn new(host: &HostName, servers: &[SocketAddr], sieve: Sieve) -> anyhow::Result<Self> {
        let configs = match servers {
            [] => host_servers()?,
            _ => servers.iter().map(name_server).collect(),
        };
        let servers = configs.into_iter().map(server).collect::<anyhow::Result<_>>()?;
        let mut name = Name::from_ascii(host.as_str())?;
        name.set_fqdn(true);
        Ok(Self { servers, name, sieve })
    }

    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    pub async fn resolve(&self, last: Option<&Answer>) -> Resolved {
        let mut found: Vec<Resolved> = Vec::new();
        let mut asked = JoinSet::new();
        let mut waiting = self.servers.iter();
        while !found.last().is_some_and(Resolved::is_whole) {
            match waiting.next() {
                Some(server) => drop(asked.spawn(server.clone().ask(self.name.clone()))),
                None if asked.is_empty() => break,
                None => {}
            }
            let patience = if waiting.len() == 0 { LAST } else { HEAD_START };
            if let Ok(Some(replies)) = timeout(patience, asked.join_next()).await {
                found.push(self.judge(replies, last));
            }
        }
        best(found)
    }

    fn judge(&self, replies: Result<(Reply, Reply), JoinError>, last: Option<&Answer>) -> Resolved {
        let (v4, v6) = match replies {
            Ok(replies) => replies,
            Err(panic) => return Resolved::failed(format!("asking broke off: {panic}")),
        };
        let mut refused = Refused::new();
        let [v4, v6] = [v4, v6].map(|reply| self.sift(reply, &mut refused));
        let half = match (&v4, &v6) {
            (Reply::Addresses(_), Reply::Failed(error))
            | (Reply::Failed(error), Reply::Addresses(_)) => Some(error.clone()),
            _ => None,
        };
        Resolved { result: merge(v4, v6, last), refused, half }
    }

    /// A family with nothing but refused addresses has failed: that takes no backend away.
    fn sift(&self, reply: Reply, all_refused: &mut Refused) -> Reply {
        let Reply::Addresses(answer) = reply else { return reply };
        let (addresses, refused) = self.sieve.sift(&answer.addresses);
        all_refused.extend(&refused);
        if addresses.is_empty() {
            return Reply::Failed(format!("nothing but refused addresses: {}", listed(&refused)));
        }
        Reply::Addresses(Answer { addresses, ..answer })
    }
}

impl Resolved {
    fn failed(why: String) -> Self {
        let result = Err(LookupError::Failed(why));
        Self { result, refused: Refused::new(), half: None }
    }

    fn is_whole(&self) -> bool {
        self.result.is_ok() && self.half.is_none()
    }
}

/// A whole answer, which ends the search, else half of one, else the first failure; with all that
/// was refused on the way.
fn best(mut found: Vec<Resolved>) -> Resolved {
    if found.is_empty() {
        return Resolved::failed("there is no resolver to ask; give --resolver".into());
    }
    let refused = found.iter().flat_map(|one| one.refused.clone()).collect();
    let good = found.iter().rposition(|one| one.result.is_ok());
    Resolved { refused, ..found.swap_remove(good.unwrap_or_default()) }
}

fn host_servers() -> anyhow::Result<Vec<NameServerConfig>> {
    let (config, _) = read_system_conf()
        .context("the host's resolver configuration cannot be used; give --resolver")?;
    Ok(config.name_servers().to_vec())
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn address(server: &NameServerConfig) -> SocketAddr {
    let port = server.connections.first().map_or(53, |connection| connection.port);
    SocketAddr::new(server.ip, port)
}

/// One of its own for each: among several, the library takes whatever comes first, SERVFAIL too.
fn server(config: NameServerConfig) -> anyhow::Result<Server> {
    let address = address(&config);
    let config = ResolverConfig::from_name_servers(vec![config]);
    let mut builder = Hickory::builder_with_config(config, TokioRuntimeProvider::default());
    set_options(builder.options_mut());
    Ok(Server { dns: builder.build().context("cannot set up the resolver")?, address })
}

#[cfg(test)]
mod tests;
