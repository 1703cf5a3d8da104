use std::{io, net::Ipv4Addr, sync::atomic::Ordering::Relaxed};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    config::Legs,
    datapath::tally::{Tally, Traffic},
};

mod model;

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

/// A client and a backend, and the relay between them.
struct Line {
    client: TcpStream,
    backend: TcpStream,
    relay: JoinHandle<Result<(), Failure>>,
    traffic: Arc<Traffic>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn line(half_closed: Duration) -> Line {
    line_with(b"", half_closed).await
}

async fn line_with(unsent: &[u8], half_closed: Duration) -> Line {
    line_through(2, unsent, half_closed).await
}

/// Without pipes everything is copied.
async fn line_through(pipes: usize, unsent: &[u8], half_closed: Duration) -> Line {
    let ((client, inside), (outside, backend)) = (pair().await, pair().await);
    socket::prepare(&inside, Legs::default()).unwrap();
    socket::prepare(&outside, Legs::default()).unwrap();
    let traffic = Arc::new(Traffic::default());
    let account = Account::of_test(traffic.clone());
    let pair = Pair { client: inside, backend: outside, unsent: unsent.to_vec() };
    let manner = Manner { half_closed, pipes: Pipes::new(pipes, Arc::new(Tally::default())) };
    let relay = tokio::spawn(async move { relay(pair, &account, &manner).await });
    Line { client, backend, relay, traffic }
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("nothing happened in time")
}

async fn read_all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.map(|_| bytes)
}

#[tokio::test]
async fn bytes_arrive_in_order_both_ways_at_once_and_are_counted() {
    let Line { mut client, mut backend, relay, traffic } = line(LONG).await;
    let request: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let response: Vec<u8> = (0..2_000_000u32).map(|n| (n % 241) as u8).collect();
    let (sent, answer) = (request.clone(), response.clone());
    let at_backend = tokio::spawn(async move {
        let (mut read, mut write) = backend.split();
        let mut got = Vec::new();
        let answering = async {
            write.write_all(&answer).await.unwrap();
            write.shutdown().await.unwrap();
        };
        tokio::join!(answering, async { read.read_to_end(&mut got).await.unwrap() });
        got
    });
    let (mut read, mut write) = client.split();
    let mut got = Vec::new();
    let asking = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    soon(async { tokio::join!(asking, async { read.read_to_end(&mut got).await.unwrap() }) }).await;
    assert!(got == response, "the response arrived whole");
    assert!(soon(at_backend).await.unwrap() == request, "the request arrived whole");
    assert_eq!(soon(relay).await.unwrap(), Ok(()));
    assert_eq!(traffic.to_backend.load(Relaxed), request.len() as u64);
    assert_eq!(traffic.to_client.load(Relaxed), response.len() as u64);
}

#[tokio::test]
async fn what_was_read_before_is_written_first_and_counted() {
    let Line { mut client, mut backend, relay, traffic } = line_with(b"read before, ", LONG).await;
    client.write_all(b"and after").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut backend).await.unwrap(), b"read before, and after");
    drop(backend);
    assert_eq!(soon(relay).await.unwrap(), Ok(()));
    assert_eq!(traffic.to_backend.load(Relaxed), 22);
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_other_way_goes_on() {
    let Line { mut client, mut backend, relay, .. } = line(LONG).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut backend).await.unwrap(), b"question");
    backend.write_all(b"answer").await.unwrap();
    drop(backend);
    assert_eq!(read_all(&mut client).await.unwrap(), b"answer");
    assert_eq!(soon(relay).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let Line { client, mut backend, relay, .. } = line(LONG).await;
    client.set_zero_linger().unwrap();
    drop(client);
    let error = read_all(&mut backend).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(soon(relay).await.unwrap(), Err(Failure::ClientBroke));

    let Line { mut client, backend, relay, .. } = line(LONG).await;
    backend.set_zero_linger().unwrap();
    drop(backend);
    let error = read_all(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(soon(relay).await.unwrap(), Err(Failure::BackendBroke));
}

#[tokio::test]
async fn a_relay_that_is_cut_short_resets_both() {
    let Line { mut client, mut backend, relay, .. } = line(LONG).await;
    backend.write_all(b"x").await.unwrap();
    soon(client.read_u8()).await.unwrap();
    relay.abort();
    for end in [&mut client, &mut backend] {
        let error = read_all(end).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_half_closed_connection_that_moves_nothing_is_reset() {
    let Line { mut client, mut backend, relay, traffic } = line(Duration::from_millis(50)).await;
    let _others_of_the_backend = tokio::spawn(async move {
        loop {
            traffic.to_client.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    });
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut backend).await.unwrap(), b"");
    assert_eq!(soon(relay).await.unwrap(), Err(Failure::HalfClosedTooLong));
    let error = read_all(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Writes for as long as anything is taken; how many bytes that were.
async fn write_until_it_stalls(stream: &TcpStream) -> usize {
    let (chunk, mut taken) = (vec![7; 64 * 1024], 0);
    // The kernel does not say that nothing more will be taken: nothing was for a second.
    while timeout(Duration::from_secs(1), stream.writable()).await.is_ok() {
        while let Ok(length) = stream.try_write(&chunk) {
            taken += length;
        }
    }
    taken
}

#[tokio::test]
async fn a_reader_that_stalls_holds_at_most_4_mib() {
    for pipes in [0, 2] {
        let Line { client, backend, .. } = line_through(pipes, b"", LONG).await;
        SockRef::from(&client).set_send_buffer_size(16 * 1024).unwrap();
        SockRef::from(&backend).set_recv_buffer_size(16 * 1024).unwrap();
        let taken = soon(write_until_it_stalls(&client)).await;
        let at_the_ends = SockRef::from(&client).send_buffer_size().unwrap()
            + SockRef::from(&backend).recv_buffer_size().unwrap();
        assert!(taken > 1024 * 1024, "not even {taken} bytes are in flight");
        assert!(taken <= 4 * 1024 * 1024 + at_the_ends, "{taken} bytes are held");
    }
}
