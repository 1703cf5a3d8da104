//! The VPC resolver: a real DNS server on UDP and TCP that answers from the zone, or lies.

mod reply;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

use self::reply::{Reply, reply};
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
        let Some(reply) = self.reply(request) else { return failed(request) };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.truncation = reply.truncated;
        metadata.authoritative = true;
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &reply.records,
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
    /// `None` is silence.
    fn reply(&self, request: &Request) -> Option<Reply> {
        if request.protocol() == Protocol::Tcp {
            self.0.asked_over_tcp();
        }
        let Ok(info) = request.request_info() else {
            return Some(Reply::of(ResponseCode::FormErr));
        };
        let over_udp = request.protocol() == Protocol::Udp;
        reply(&self.0, info.query.original().name(), info.query.query_type(), over_udp)
    }
}

fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    Header { metadata, counts: HeaderCounts::default() }.into()
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{Message, MessageType, OpCode, Query},
        rr::{Name, RecordType},
    };

    use super::*;

    const NAME: &str = "Api.Example.";

    async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let question = message.to_vec().expect("a question");
        socket.send_to(&question, server).await.expect("sent");
        let mut buffer = [0; 1500];
        let (count, _) = socket.recv_from(&mut buffer).await.expect("an answer");
        Message::from_vec(&buffer[..count]).expect("a message")
    }

    #[tokio::test]
    async fn answers_have_the_zones_addresses_and_ttl() {
        let zone = Zone::new(Duration::from_secs(7));
        zone.set(NAME, vec![[10, 0, 21, 10].into()]);
        // An address of this test's own: a port that is free over UDP is so over TCP.
        let free = UdpSocket::bind("127.83.21.1:0").await.expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let _server = serve(zone, address).await.expect("a server");

        let answer = ask(address, NAME, RecordType::A).await;
        assert_eq!(answer.answers.len(), 1);
        assert_eq!(answer.answers[0].ttl, 7);
        let answer = ask(address, NAME, RecordType::AAAA).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.answers.is_empty());
        let answer = ask(address, "other.example.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
}
