//! The relay against what it must be: a wire. Both sides follow a script at once, and what arrives
//! is all that was sent, or its beginning where a side reset.

use proptest::{collection::vec, prelude::*};
use tokio::{
    net::tcp::{ReadHalf, WriteHalf},
    runtime::Builder,
    task::yield_now,
};

use std::pin::pin;

use super::*;

#[derive(Clone, Debug)]
struct Script {
    writes: Vec<Step>,
    /// Stalls between reads; the rest is read as it comes.
    reads: Vec<Step>,
    end: End,
}

/// So long others run first, then so many bytes.
#[derive(Clone, Copy, Debug)]
struct Step {
    turns: u8,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finish,
    Reset,
}

#[derive(Debug)]
struct Saw {
    bytes: Vec<u8>,
    was_reset: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![1..200usize, 10_000..40_000usize, 100_000..1_500_000usize];
    (0..40u8, bytes).prop_map(|(turns, bytes)| Step { turns, bytes })
}

fn script() -> impl Strategy<Value = Script> {
    let end = prop_oneof![3 => Just(End::Finish), 1 => Just(End::Reset)];
    (vec(step(), 0..6), vec(step(), 0..6), end).prop_map(|(writes, reads, end)| Script {
        writes,
        reads,
        end,
    })
}

/// What a side sends: each place in it differs from its surroundings.
fn sent(script: &Script) -> Vec<u8> {
    let length: usize = script.writes.iter().map(|step| step.bytes).sum();
    (0..length).map(|n| (n % 251) as u8).collect()
}

async fn turns(count: u8) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn write(mut half: WriteHalf<'_>, script: &Script) -> io::Result<()> {
    let bytes = sent(script);
    let mut left = bytes.as_slice();
    for step in &script.writes {
        turns(step.turns).await;
        let (now, later) = left.split_at(step.bytes);
        half.write_all(now).await?;
        left = later;
    }
    if script.end == End::Finish {
        half.shutdown().await?;
    }
    Ok(())
}

async fn read(mut half: ReadHalf<'_>, script: &Script, got: &mut Vec<u8>) -> io::Result<()> {
    for step in &script.reads {
        turns(step.turns).await;
        (&mut half).take(step.bytes as u64).read_to_end(got).await?;
    }
    half.read_to_end(got).await.map(drop)
}

/// One that resets does so once it has written everything.
async fn play(mut stream: TcpStream, script: &Script) -> Saw {
    let mut bytes = Vec::new();
    let (reading, writing) = stream.split();
    let (reading, writing) = (read(reading, script, &mut bytes), write(writing, script));
    let was_reset = match script.end {
        End::Finish => {
            let (read, written) = tokio::join!(reading, writing);
            read.is_err() || written.is_err()
        }
        End::Reset => {
            let mut writing = pin!(writing);
            tokio::select! {
                written = &mut writing => written.is_err(),
                read = reading => read.is_err() | writing.await.is_err(),
            }
        }
    };
    if script.end == End::Reset {
        stream.set_zero_linger().unwrap();
    }
    Saw { bytes, was_reset }
}

/// What the client and the backend saw, and how the relay ended.
async fn run(pipes: usize, client: &Script, backend: &Script) -> (Saw, Saw, Result<(), Failure>) {
    let line = line_through(pipes, b"", LONG).await;
    let both = async { tokio::join!(play(line.client, client), play(line.backend, backend)) };
    let (at_client, at_backend) = soon(both).await;
    (at_client, at_backend, soon(line.relay).await.unwrap())
}

fn check(saw: &Saw, of: &Script, from: &Script) {
    let sent = sent(from);
    assert!(sent.starts_with(&saw.bytes), "{} bytes are not what was sent", saw.bytes.len());
    match (of.end, from.end) {
        (End::Finish, End::Finish) => {
            assert!(!saw.was_reset, "a reset that nobody sent");
            assert_eq!(saw.bytes.len(), sent.len());
        }
        (End::Finish, End::Reset) => assert!(saw.was_reset, "a reset that did not arrive"),
        (End::Reset, _) => {}
    }
}

fn is_a_wire(pipes: usize, client: &Script, backend: &Script) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (at_client, at_backend, ended) = runtime.block_on(run(pipes, client, backend));
    check(&at_client, client, backend);
    check(&at_backend, backend, client);
    let is_peaceful = (client.end, backend.end) == (End::Finish, End::Finish);
    assert_eq!(ended.is_ok(), is_peaceful, "{ended:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_relay_that_splices_is_a_wire(client in script(), backend in script()) {
        is_a_wire(8, &client, &backend);
    }

    #[test]
    fn a_relay_that_copies_is_a_wire(client in script(), backend in script()) {
        is_a_wire(0, &client, &backend);
    }
}
