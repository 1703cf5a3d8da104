//! Frames of every length, and valid ones with random changes.

use std::iter::repeat_with;

use fastrand::Rng;
use proxy_common::reason::{Outcome, Reason};
use proxy_ebpf::{
    fake::{Tcp, icmp::too_big},
    parse::Flags,
};

use super::{
    bench::{Bench, Hook, Verdict},
    connection::{CPORT, Connection, FAMILIES, client_of},
};

/// The same frames in every run.
const SEED: u64 = 0x656e_6967;
const FRAMES: usize = 4_000;
/// The kernel refuses to test TC with less than an IP header, and XDP with less than Ethernet's.
const SHORTEST: [(Hook, [usize; 2]); 2] = [(Hook::Tc, [34, 54]), (Hook::Xdp, [14, 14])];

#[test]
fn frames_of_every_length_are_survived() {
    let mut bench = Bench::with_enis(1);
    for (hook, shortest) in SHORTEST {
        for (family, shortest) in FAMILIES.into_iter().zip(shortest) {
            let connection = Connection::open(&mut bench, (client_of(family), CPORT));
            let data = Tcp { payload: vec![7; 200], ..connection.clients(Flags::ACK) };
            let whole = data.frame().bytes();
            for len in shortest..whole.len() {
                let (verdict, out) = bench.run(hook, &whole[..len]);
                assert_ne!(verdict, Verdict::Sent, "{len} bytes of {} at {hook:?}", whole.len());
                assert_eq!(out, &whole[..len], "{len} bytes at {hook:?}");
            }
            bench.begin_anew();
        }
    }
}

/// Segments of both sides, a SYN, and ICMP errors about both sides' segments.
fn valid_frames(bench: &mut Bench) -> Vec<Vec<u8>> {
    let mut frames = vec![];
    for family in FAMILIES {
        let connection = Connection::open(bench, (client_of(family), CPORT));
        let segments = [connection.clients(Flags::ACK), connection.enis(Flags::ACK)];
        for segment in segments {
            let sent = connection.translated(&segment);
            frames.push(too_big(sent.destination.0, &sent.frame(), 1_400, 20).bytes());
            frames.push(Tcp { payload: vec![0x5a; 101], ..segment }.frame().bytes());
        }
        let syn = Tcp { source: (connection.client.0, 2_000), ..connection.clients(Flags::SYN) };
        frames.push(syn.frame().bytes());
    }
    frames
}

/// Changes a few bytes or bits, mostly of the headers, and sometimes the length.
fn mutate(random: &mut Rng, frame: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(12..frame.len().min(80));
        match random.u8(..4) {
            0 => frame[at] = random.u8(..),
            1 => frame[at] ^= 1 << random.u8(..8),
            2 => frame.truncate(random.usize(54..=frame.len())),
            _ => {
                let more = random.usize(1..40);
                frame.extend(repeat_with(|| random.u8(..)).take(more));
            }
        }
    }
}

#[test]
fn a_mutated_frame_is_forwarded_or_left_as_it_came_for_one_reason() {
    let mut bench = Bench::with_enis(2);
    let valid = valid_frames(&mut bench);
    let mut random = Rng::with_seed(SEED);
    let mut sent = 0;
    for n in 0..FRAMES {
        let mut frame = valid[n % valid.len()].clone();
        mutate(&mut random, &mut frame);
        for hook in Hook::BOTH {
            let before = bench.counts();
            let (verdict, out) = bench.run(hook, &frame);
            let counts = bench.counts();
            let counted: Vec<_> = Reason::ALL
                .iter()
                .zip(counts.iter().zip(&before))
                .flat_map(|(reason, (after, before))| vec![*reason; (after - before) as usize])
                .collect();
            let name =
                format!("frame {n} of seed {SEED:#x} at {hook:?}, {counted:?}: {frame:02x?}");
            assert!(fits(hook, verdict, &counted), "{verdict:?} for {name}");
            assert!(verdict == Verdict::Sent || out == frame, "{name}");
            assert_eq!(out.len(), frame.len(), "{name}");
            sent += usize::from(verdict == Verdict::Sent);
        }
    }
    let share = FRAMES / 10..FRAMES * 2 * 9 / 10;
    assert!(share.contains(&sent), "{sent} forwarded: the changes are too harsh, or too mild");
}

/// Each verdict has its count: one reason with its outcome, or none for what is sent.
fn fits(hook: Hook, verdict: Verdict, counted: &[Reason]) -> bool {
    match (verdict, counted) {
        (Verdict::Sent, []) => true,
        (Verdict::Passed, []) => hook == Hook::Xdp,
        (Verdict::Passed, [reason]) => reason.outcome() == Outcome::Pass,
        (Verdict::Dropped, [reason]) => reason.outcome() == Outcome::Drop,
        _ => false,
    }
}
