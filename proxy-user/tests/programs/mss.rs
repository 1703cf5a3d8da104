//! The clamp, in the kernel: what a SYN offers is lowered in both directions, whatever lies around
//! the option.

use proxy_common::{config::Config, counter::Counter};
use proxy_ebpf::{fake::Tcp, parse::Flags};

use super::{
    bench::{Bench, Hook, Verdict},
    connection::{CPORT, Connection, FAMILIES, client_of},
};

const MOST: u16 = 1_300;
const SYN: u8 = Flags::SYN;
const ACK: u8 = Flags::ACK;

/// Options as they come, and as they are to leave.
const ROWS: [(&str, &[u8], &[u8]); 8] = [
    ("one that is larger", &[2, 4, 5, 180], &[2, 4, 5, 20]),
    ("one that is smaller", &[2, 4, 4, 200], &[2, 4, 4, 200]),
    ("at an odd place", &[1, 2, 4, 5, 180, 1, 1, 0], &[1, 2, 4, 5, 20, 1, 1, 0]),
    ("behind others", &[4, 2, 3, 3, 7, 2, 4, 5, 180, 0], &[4, 2, 3, 3, 7, 2, 4, 5, 20, 0]),
    ("none", &[1, 1, 4, 2], &[1, 1, 4, 2]),
    ("behind the end of the list", &[0, 2, 4, 5, 180, 0, 0, 0], &[0, 2, 4, 5, 180, 0, 0, 0]),
    ("of another length", &[2, 3, 5, 180], &[2, 3, 5, 180]),
    ("an option that is too long for the header", &[3, 9, 2, 4], &[3, 9, 2, 4]),
];

#[test]
fn what_a_syn_offers_is_lowered_at_tc_in_both_directions() {
    for family in FAMILIES {
        for (row, options, lowered) in ROWS {
            let mut bench = clamping();
            let client = (client_of(family), CPORT);
            let begun = Connection::begin(&mut bench, client);
            for syn in [begun.clients(SYN), begun.enis(SYN | ACK)] {
                let name = format!("{row}, {:?}", syn.source);
                let before = bench.counter(Counter::MssClamped);
                let with = |options: &[u8]| Tcp { options: options.to_vec(), ..syn.clone() };
                let (verdict, out) = bench.run(Hook::Tc, &with(options).frame().bytes());
                assert_eq!(verdict, Verdict::Sent, "{name}");
                let expected = begun.translated(&with(lowered)).frame().bytes();
                assert_eq!(out[12..], expected[12..], "{name}");
                let clamped = bench.counter(Counter::MssClamped) - before;
                assert_eq!(clamped, u64::from(options != lowered), "{name}");
            }
        }
    }
}

#[test]
fn segments_without_a_syn_keep_what_looks_like_an_offer() {
    for family in FAMILIES {
        let mut bench = clamping();
        let connection = Connection::open(&mut bench, (client_of(family), CPORT));
        let data = Tcp { options: vec![2, 4, 5, 180], ..connection.clients(ACK) };
        for hook in Hook::BOTH {
            let (verdict, out) = bench.run(hook, &data.frame().bytes());
            assert_eq!(verdict, Verdict::Sent);
            assert_eq!(out[12..], connection.translated(&data).frame().bytes()[12..]);
        }
        assert_eq!(bench.counter(Counter::MssClamped), 0);
    }
}

fn clamping() -> Bench {
    let mut bench = Bench::with_enis(1);
    bench.configure(Config { mss_clamp: MOST, ..Bench::config() });
    bench
}
