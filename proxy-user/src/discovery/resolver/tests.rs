use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use tokio::net::UdpSocket;

use super::*;

/// How a server answers the question for A; there is no AAAA.
#[derive(Clone, Copy)]
enum Manner {
    Address([u8; 4]),
    Code(ResponseCode),
    Silent,
}

fn reply(question: &[u8], manner: Manner) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut reply = question.into_response();
    match manner {
        Manner::Silent => return None,
        Manner::Code(code) => reply.metadata.response_code = code,
        Manner::Address(address) if query.query_type() == RecordType::A => {
            let data = RData::A(Ipv4Addr::from(address).into());
            reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
        Manner::Address(_) => {}
    }
    Some(reply.to_vec().unwrap())
}

/// Serves until the test's runtime ends.
async fn serve(manner: Manner) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 1500];
        loop {
            let (length, client) = socket.recv_from(&mut question).await.unwrap();
            if let Some(reply) = reply(&question[..length], manner) {
                socket.send_to(&reply, client).await.unwrap();
            }
        }
    });
    address
}

async fn resolver(manners: &[Manner]) -> Resolver {
    let mut servers = Vec::new();
    for manner in manners {
        servers.push(serve(*manner).await);
    }
    let sieve = Sieve::new("0.0.0.0:443".parse().unwrap(), BTreeSet::new);
    Resolver::new(&"api.example".parse().unwrap(), &servers, sieve).unwrap()
}

fn found(resolved: &Resolved) -> Vec<IpAddr> {
    resolved.result.as_ref().unwrap().addresses.iter().copied().collect()
}

const ONE: [u8; 4] = [10, 0, 0, 1];
const TWO: [u8; 4] = [10, 0, 0, 2];
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

#[tokio::test]
async fn the_first_server_that_answers_well_counts_in_the_order_given() {
    use Manner::{Address, Code};
    for (manners, expected) in [
        ([Address(ONE), Address(TWO)], ONE),
        ([Address(TWO), Address(ONE)], TWO),
        ([Code(ResponseCode::ServFail), Address(ONE)], ONE),
        ([Code(ResponseCode::Refused), Address(ONE)], ONE),
        ([Code(ResponseCode::NXDomain), Address(ONE)], ONE),
        ([Address(LOOPBACK), Address(ONE)], ONE),
    ] {
        let resolved = resolver(&manners).await.resolve(None).await;
        assert_eq!(found(&resolved), [IpAddr::from(expected)]);
    }
}

#[tokio::test]
async fn a_dead_server_costs_a_fraction_of_what_waiting_for_it_would() {
    let started = Instant::now();
    let alone = resolver(&[Manner::Silent]).await.resolve(None).await;
    let waited = started.elapsed();
    assert!(matches!(alone.result, Err(LookupError::Failed(_))), "{alone:?}");

    let both = resolver(&[Manner::Silent, Manner::Address(ONE)]).await;
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(found(&both.resolve(None).await), [IpAddr::from(ONE)]);
        assert!(started.elapsed() < waited / 3, "{:?} of {waited:?}", started.elapsed());
    }
}

#[tokio::test]
async fn without_any_good_answer_the_error_names_server_and_cause() {
    let failing = resolver(&[Manner::Code(ResponseCode::ServFail)]).await;
    let error = failing.resolve(None).await.result.unwrap_err().to_string();
    let server = failing.servers()[0].to_string();
    assert!(error.contains(&server) && error.contains("Server Failure"), "{error}");
    let missing = resolver(&[Manner::Code(ResponseCode::NXDomain)]).await;
    assert_eq!(missing.resolve(None).await.result, Err(LookupError::NoSuchName));
}

#[tokio::test]
async fn nothing_but_refused_addresses_is_no_answer() {
    let resolved = resolver(&[Manner::Address(LOOPBACK)]).await.resolve(None).await;
    let error = resolved.result.unwrap_err().to_string();
    assert_eq!(error, "nothing but refused addresses: 127.0.0.1 (loopback)");
    assert_eq!(resolved.refused.len(), 1);
}
