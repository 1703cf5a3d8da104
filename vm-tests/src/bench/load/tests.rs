//! The generator against its own server, on loopback.

use std::thread;

use clap::Parser as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Serves until the tests are over.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let tls = tls::acceptor().expect("a certificate");
    thread::spawn(move || threads::run(serve::accept(listener, tls)));
    address
}

fn client(to: SocketAddr, words: &str) -> Run {
    let line = format!("enigate-load run --to {to} {words}");
    match Cli::try_parse_from(line.split(' ')).expect("a command line") {
        Cli::Run(run) => run,
        Cli::Serve { .. } => unreachable!("it says run"),
    }
}

fn outcome(run: &Run) -> Outcome {
    match &run.mode {
        Mode::Bulk(args) => bulk::run(&run.to, *args),
        Mode::Ping(args) => ping::run(&run.to, *args),
        Mode::Connects(args) => connects::run(&run.to, *args),
        Mode::Idle(args) => idle::open(&run.to, *args).map(|(opened, held)| {
            assert_eq!(opened.done, held.check().done);
            opened
        }),
    }
    .expect("a result")
}

#[test]
fn each_load_gets_something_done_and_fails_at_nothing() {
    let to = server();
    for words in [
        "bulk --direction down --streams 2 --warm-up 10ms --for 100ms",
        "bulk --direction up --streams 2 --warm-up 10ms --for 100ms",
        "ping --size 16384 --connections 3 --warm-up 10ms --for 100ms",
        "idle --connections 70",
    ] {
        let outcome = outcome(&client(to, words));
        assert!(outcome.done > 0 && outcome.failures.total() == 0, "{words}: {outcome:?}");
    }
}

#[test]
fn as_many_connections_are_made_as_were_asked_for() {
    for words in ["connects --connections 5", "connects --tls --connections 5"] {
        let outcome = outcome(&client(server(), &format!("{words} --at-most 123 --for 1m")));
        assert_eq!((outcome.total, outcome.failures.total()), (123, 0), "{words}");
        // Those that were under way when the last had begun come too late for the rate.
        assert!((118..=123).contains(&outcome.done), "{words}: {outcome:?}");
    }
}

#[test]
fn over_tls_it_is_a_web_server_as_well() {
    let asked = async {
        let stream = stream::connect(server()).await.map_err(|failure| anyhow!("{failure}"))?;
        let name = crate::plan::ENDPOINT.try_into()?;
        let mut stream = tls::connector()?.connect(name, stream).await?;
        let mut answer = [0; web::ANSWER.len()];
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            stream.read_exact(&mut answer).await?;
            assert_eq!(&answer, web::ANSWER);
        }
        anyhow::Ok(())
    };
    threads::run(asked).expect("a runtime").expect("two answers");
}

#[test]
fn failures_are_counted_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let nobody = listener.local_addr().expect("its address");
    drop(listener);
    let outcome = outcome(&client(nobody, "connects --connections 2 --at-most 7 --for 1m"));
    assert_eq!(outcome.done, 0);
    assert_eq!(outcome.failures.0["connect: connection refused"], 7);
}

#[test]
fn a_connection_that_ends_early_is_no_success() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = listener.local_addr().expect("its address");
    let closing = thread::spawn(move || listener.accept().map(drop));
    let outcome =
        outcome(&client(to, "bulk --direction down --streams 1 --warm-up 10ms --for 50ms"));
    closing.join().expect("no panic").expect("a connection");
    assert_eq!((outcome.done, outcome.failures.total()), (0, 1), "{outcome:?}");
}
