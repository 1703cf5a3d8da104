//! One DNS server and its two replies. Over UDP, and over TCP where an answer is truncated.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ResolveHosts, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};

use super::answer::{Answer, Reply};

/// Within it, a question over UDP is repeated.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After the first.
const MORE_ATTEMPTS: usize = 1;

#[derive(Clone)]
pub struct Server {
    pub dns: TokioResolver,
    pub address: SocketAddr,
}

/// The schedule is ours: a cache here would hide a change for as long as the old TTL lasts.
pub fn set_options(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = MORE_ATTEMPTS;
}

impl Server {
    /// The replies for A and for AAAA.
    pub async fn ask(self, name: Name) -> (Reply, Reply) {
        tokio::join!(self.ask_for(&name, RecordType::A), self.ask_for(&name, RecordType::AAAA))
    }

    async fn ask_for(&self, name: &Name, record: RecordType) -> Reply {
        let server = self.address;
        match self.dns.lookup(name.clone(), record).await {
            Ok(lookup) => addresses(&lookup).map_or(Reply::Nothing, Reply::Addresses),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError => Reply::Nothing,
                ResponseCode::NXDomain => Reply::NoSuchName,
                code => Reply::Failed(format!("{server} answered {code} for {record}")),
            },
            Err(error) => Reply::Failed(format!("asking {server} for {record}: {error}")),
        }
    }
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
