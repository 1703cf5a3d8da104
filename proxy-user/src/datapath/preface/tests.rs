use std::{future::Future, net::Ipv4Addr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::timeout,
};

use super::{
    samples::{CAPTURED, LOCAL, client_hello, header},
    *,
};
use crate::config::Legs;

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

const HEADERS: Wants = Wants { proxy_protocol: true, server_name: false, header_timeout: LONG };
const BOTH: Wants = Wants { proxy_protocol: true, server_name: true, header_timeout: LONG };

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("nothing happened in time")
}

/// The client's end, and the agent's.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let accepted = far.unwrap().0;
    socket::prepare(&accepted, Legs::default()).unwrap();
    (near.unwrap(), accepted)
}

type Reader = JoinHandle<Result<(Preface, TcpStream), Failure>>;

/// A client whose connection is being read; refused, it is dropped, as by whoever calls this.
async fn client(wants: Wants) -> (TcpStream, Reader) {
    let (client, accepted) = pair().await;
    client.set_nodelay(true).unwrap();
    let reader =
        tokio::spawn(
            async move { read(&accepted, wants).await.map(|preface| (preface, accepted)) },
        );
    (client, reader)
}

async fn failure(reader: Reader) -> Failure {
    soon(reader).await.unwrap().map(|(preface, _)| preface).expect_err("it is refused")
}

fn within(header_timeout: Duration, wants: Wants) -> Wants {
    Wants { header_timeout, ..wants }
}

#[tokio::test]
async fn bytes_that_trickle_are_read_as_if_they_had_come_at_once() {
    let (mut client, reader) = client(BOTH).await;
    let hello = client_hello("api.example.com");
    for byte in [CAPTURED, &hello].concat() {
        client.write_all(&[byte]).await.unwrap();
    }
    let (preface, _) = soon(reader).await.unwrap().unwrap();
    assert_eq!(preface.server_name.unwrap().as_str(), "api.example.com");
    assert_eq!(preface.consumer.unwrap().source.to_string(), "172.31.7.113:51442");
    assert_eq!(preface.read, hello);
}

#[tokio::test]
async fn where_nothing_is_wanted_nothing_is_read() {
    let nothing = Wants { proxy_protocol: false, server_name: false, header_timeout: LONG };
    let (mut client, reader) = client(nothing).await;
    let (preface, mut accepted) = soon(reader).await.unwrap().unwrap();
    assert_eq!(preface, Preface::default());
    client.write_all(b"x").await.unwrap();
    assert_eq!(soon(accepted.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn what_came_behind_the_header_and_was_not_read_is_still_there() {
    let (mut client, reader) = client(HEADERS).await;
    let body: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = [CAPTURED, &body].concat();
    let writer = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let (preface, mut accepted) = soon(reader).await.unwrap().unwrap();
    assert!(preface.read.len() <= 2 * CHUNK, "{} bytes", preface.read.len());
    let mut got = preface.read;
    soon(accepted.read_to_end(&mut got)).await.unwrap();
    assert!(got == body);
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn a_health_check_of_the_load_balancer_ends_in_peace() {
    for said in [Vec::new(), header(LOCAL, 0, b"")] {
        let (mut client, reader) = client(HEADERS).await;
        client.write_all(&said).await.unwrap();
        client.shutdown().await.unwrap();
        let refused = failure(reader).await;
        assert!(matches!(refused, Failure::Preface(refused) if refused.is_quiet()), "{refused:?}");
        assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0, "a FIN, and no reset");
    }
}

#[tokio::test]
async fn a_health_check_that_ends_by_a_reset_is_none_that_broke() {
    let (mut client, reader) = client(HEADERS).await;
    client.write_all(&header(LOCAL, 0, b"")).await.unwrap();
    socket::prepare(&client, Legs::default()).unwrap();
    drop(client);
    assert_eq!(failure(reader).await, Refused::HealthCheck.into());
}

#[tokio::test]
async fn a_reset_within_the_header_is_the_clients_doing() {
    let (mut client, reader) = client(HEADERS).await;
    client.write_all(&CAPTURED[..20]).await.unwrap();
    socket::prepare(&client, Legs::default()).unwrap();
    drop(client);
    assert_eq!(failure(reader).await, Failure::ClientBroke);
}

#[tokio::test]
async fn what_is_no_header_is_reset() {
    let (mut client, reader) = client(HEADERS).await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(failure(reader).await, Refused::HeaderMissing.into());
    let error = soon(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn silence_is_refused_at_the_deadline_wherever_it_begins() {
    for (said, why) in [
        (&b""[..], Refused::HeaderTimeout),
        (&CAPTURED[..40], Refused::HeaderTimeout),
        (CAPTURED, Refused::HelloTimeout),
    ] {
        let (mut client, reader) = client(within(SHORT, BOTH)).await;
        client.write_all(said).await.unwrap();
        assert_eq!(failure(reader).await, why.into());
    }
}

#[tokio::test]
async fn bytes_that_go_on_trickling_do_not_move_the_deadline() {
    let (client, reader) = client(within(SHORT, HEADERS)).await;
    let (mut read, mut write) = client.into_split();
    let trickle = async {
        let mut rhythm = tokio::time::interval(SHORT / 20);
        for byte in header(LOCAL, 0, &[0; 4000]) {
            rhythm.tick().await;
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        panic!("the whole of a long header was waited for");
    };
    let mut nothing = [0];
    // The reset ends whichever meets it first.
    soon(async {
        tokio::select! {
            () = trickle => {}
            _ended = read.read(&mut nothing) => {}
        }
    })
    .await;
    assert_eq!(failure(reader).await, Refused::HeaderTimeout.into());
}

#[tokio::test]
async fn a_lone_first_byte_of_a_signature_is_data_after_the_deadline() {
    let (mut client, reader) = client(within(SHORT, HEADERS)).await;
    client.write_all(&[CAPTURED, b"\r"].concat()).await.unwrap();
    assert_eq!(soon(reader).await.unwrap().unwrap().0.read, b"\r");
}

#[tokio::test]
async fn a_client_that_is_turned_away_reads_the_alert_and_then_the_end() {
    let (mut client, accepted) = pair().await;
    // Bytes that nobody has read: closed at once, the stream would be reset.
    client.write_all(&client_hello("api.example.com")).await.unwrap();
    let turning = tokio::spawn(turn_away(accepted));
    let mut said = Vec::new();
    soon(client.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, [21, 3, 1, 0, 2, 2, 112]);
    client.write_all(&[0; 100_000]).await.expect("no reset before the client has ended too");
    drop(client);
    soon(turning).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_turned_away_and_stays_is_reset_after_a_moment() {
    let (mut client, accepted) = pair().await;
    soon(turn_away(accepted)).await;
    let mut said = [0; 7];
    client.read_exact(&mut said).await.unwrap();
    let broken = async {
        loop {
            if client.write_all(b"still here").await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(broken).await;
}

#[tokio::test]
async fn a_tls_client_that_is_turned_away_hears_that_the_name_is_not_known() {
    let (client, accepted) = pair().await;
    tokio::spawn(turn_away(accepted));
    let error = soon(samples::connect(client, "api.example.com")).await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}
