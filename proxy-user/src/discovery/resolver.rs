//! Asks DNS: A and AAAA together, past every cache but the server's own.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use hickory_resolver::{
    Resolver as Hickory, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
    system_conf::read_system_conf,
};

use super::answer::{Answer, LookupError, Reply, merge};
use crate::config::HostName;

const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

pub struct Resolver {
    dns: TokioResolver,
    name: Name,
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// Asks the host's servers where none are given.
    pub fn new(host: &HostName, servers: &[SocketAddr]) -> anyhow::Result<Self> {
        let config = match servers {
            [] => ResolverConfig::from_name_servers(host_servers()?),
            _ => ResolverConfig::from_name_servers(servers.iter().map(name_server).collect()),
        };
        let servers = config.name_servers().iter().map(address).collect();
        let provider = TokioRuntimeProvider::default();
        let mut builder = Hickory::builder_with_config(config, provider);
        set_options(builder.options_mut());
        let mut name = Name::from_ascii(host.as_str())?;
        name.set_fqdn(true);
        Ok(Self { dns: builder.build().context("cannot set up the resolver")?, name, servers })
    }

    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    pub async fn resolve(&self, last: Option<&Answer>) -> Result<Answer, LookupError> {
        let (v4, v6) = tokio::join!(self.ask(RecordType::A), self.ask(RecordType::AAAA));
        if let (Reply::Addresses(_), Reply::Failed(error))
        | (Reply::Failed(error), Reply::Addresses(_)) = (&v4, &v6)
        {
            tracing::warn!("half an answer, the other family's addresses stay: {error}");
        }
        merge(v4, v6, last)
    }

    async fn ask(&self, record: RecordType) -> Reply {
        match self.dns.lookup(self.name.clone(), record).await {
            Ok(lookup) => addresses(&lookup).map_or(Reply::Nothing, Reply::Addresses),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError => Reply::Nothing,
                ResponseCode::NXDomain => Reply::NoSuchName,
                code => Reply::Failed(format!("the resolver answered {code} for {record}")),
            },
            Err(error) => Reply::Failed(format!("asking for {record}: {error}")),
        }
    }
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

/// The schedule is ours: a cache here would hide a change for as long as the old TTL lasts.
fn set_options(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
}

/// The TTL is the shortest of the whole chain, aliases included.
fn addresses(lookup: &Lookup) -> Option<Answer> {
    let records = lookup.answers();
    let addresses = records.iter().filter_map(|record| match record.data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    });
    let answer = Answer {
        addresses: addresses.collect(),
        ttl: Duration::from_secs(records.iter().map(|record| record.ttl).min()?.into()),
    };
    (!answer.addresses.is_empty()).then_some(answer)
}
