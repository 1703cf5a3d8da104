//! The VPC resolver: a real DNS server on UDP and TCP that answers from the zone.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use hickory_proto::{
    op::{Header, HeaderCounts, Metadata, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use hickory_server::{
    Server,
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

use crate::zone::Zone;

const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_BUFFER: usize = 16;

/// Serves until it is dropped.
pub(crate) async fn serve(zone: Zone, address: SocketAddr) -> anyhow::Result<Server<Answers>> {
    let udp = UdpSocket::bind(address).await.with_context(|| format!("DNS on UDP {address}"))?;
    let tcp = TcpListener::bind(address).await.with_context(|| format!("DNS on TCP {address}"))?;
    let mut server = Server::new(Answers(zone));
    server.register_socket(udp);
    server.register_listener(tcp, TCP_TIMEOUT, RESPONSE_BUFFER);
    Ok(server)
}

pub(crate) struct Answers(Zone);

#[async_trait::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let (code, records) = match request.request_info() {
            Ok(info) => self.answer(info.query.original().name(), info.query.query_type()),
            Err(_) => (ResponseCode::FormErr, Vec::new()),
        };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        metadata.authoritative = true;
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &records,
            [],
            [],
            [],
        );
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!("a DNS answer could not be sent: {error}");
                failed(request)
            }
        }
    }
}

impl Answers {
    fn answer(&self, name: &Name, kind: RecordType) -> (ResponseCode, Vec<Record>) {
        let Some((addresses, ttl)) = self.0.answer(&name.to_ascii()) else {
            return (ResponseCode::NXDomain, Vec::new());
        };
        let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        let records = addresses
            .into_iter()
            .map(record_data)
            .filter(|data| data.record_type() == kind)
            .map(|data| Record::from_rdata(name.clone(), ttl, data))
            .collect();
        (ResponseCode::NoError, records)
    }
}

fn record_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}

fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    Header { metadata, counts: HeaderCounts::default() }.into()
}
