use proptest::prelude::*;

use super::{
    super::samples::{
        CAPTURED, LOCAL, PROXY, TCP4, V4, client_hello, header, in_records_of, sealed, tlv,
    },
    *,
};
use crate::config::VpceId;

/// What comes of the pieces, and then of `last`; bytes that were not needed any more are added to
/// those read.
fn reads(mut reading: Reading, pieces: &[&[u8]], last: News) -> Result<Option<Preface>, Refused> {
    for (index, piece) in pieces.iter().enumerate() {
        reading.buffer().extend_from_slice(piece);
        if let Some(mut preface) = reading.hear(News::Bytes)? {
            preface.read.extend(pieces[index + 1..].concat());
            return Ok(Some(preface));
        }
    }
    reading.hear(last)
}

fn headers(bytes: &[u8], last: News) -> Result<Preface, Refused> {
    reads(Reading::new(true, false), &[bytes], last).map(|preface| preface.expect("an end"))
}

fn both(bytes: &[u8], last: News) -> Result<Preface, Refused> {
    reads(Reading::new(true, true), &[bytes], last).map(|preface| preface.expect("an end"))
}

fn vpce(preface: &Preface) -> Option<&str> {
    preface.consumer.as_ref()?.vpce.as_ref().map(VpceId::as_str)
}

fn second(id: &str) -> Vec<u8> {
    sealed(PROXY, TCP4, &V4, &tlv(0xea, format!("\x01{id}").as_bytes()))
}

#[test]
fn the_clients_own_bytes_are_kept_and_no_byte_of_the_header() {
    let preface = headers(&[CAPTURED, b"hello"].concat(), News::Bytes).unwrap();
    assert_eq!(preface.read, b"hello");
    assert_eq!(vpce(&preface), Some("vpce-08d2bf15fac5001c9"));
    assert!(!preface.is_local);
}

#[test]
fn every_leading_header_is_taken_off_and_the_first_says_who_it_is() {
    let forged = second("vpce-0123abcd");
    for count in 1..=3 {
        let bytes = [CAPTURED, &forged.repeat(count), b"data"].concat();
        let preface = headers(&bytes, News::Bytes).unwrap();
        assert_eq!(vpce(&preface), Some("vpce-08d2bf15fac5001c9"));
        assert_eq!(preface.read, b"data");
    }
    let five = [CAPTURED, &forged.repeat(4)].concat();
    assert_eq!(headers(&five, News::Bytes), Err(Refused::HeadersTooMany));
}

#[test]
fn a_client_cannot_add_to_a_header_of_the_load_balancer() {
    let bytes = [&header(PROXY, TCP4, &V4), &second("vpce-0123abcd")[..], b"data"].concat();
    let preface = headers(&bytes, News::Bytes).unwrap();
    assert_eq!(vpce(&preface), None);
    let local = [&header(LOCAL, 0, b""), &second("vpce-0123abcd")[..], b"data"].concat();
    let preface = headers(&local, News::Bytes).unwrap();
    assert!(preface.is_local && preface.consumer.is_none());
}

#[test]
fn a_further_header_that_is_malformed_is_refused() {
    let mut broken = second("vpce-0123abcd");
    *broken.last_mut().unwrap() = b'z';
    let bytes = [CAPTURED, &broken].concat();
    assert_eq!(headers(&bytes, News::Bytes), Err(Refused::HeaderChecksum));
}

#[test]
fn bytes_that_might_become_a_header_are_waited_for_and_then_are_data() {
    for length in 1..12 {
        let start = &CAPTURED[..length];
        let bytes = [CAPTURED, start].concat();
        let pending = reads(Reading::new(true, false), &[&bytes], News::Bytes);
        assert_eq!(pending, Ok(None), "{length} bytes");
        for last in [News::Late, News::End] {
            assert_eq!(headers(&bytes, last).unwrap().read, start, "{length} bytes, {last:?}");
        }
    }
    let with_signature = [CAPTURED, &CAPTURED[..12]].concat();
    assert_eq!(headers(&with_signature, News::Late), Err(Refused::HeaderTimeout));
    assert_eq!(headers(&with_signature, News::End), Err(Refused::HeaderTruncated));
}

#[test]
fn an_end_or_the_deadline_has_a_reason_of_its_own_at_each_stage() {
    let local = header(LOCAL, 0, b"");
    let hello = client_hello("api.example.com");
    let [cut_header, cut_hello] = [&CAPTURED[..50], &hello[..50]];
    let with_cut_hello = [CAPTURED, cut_hello].concat();
    for (bytes, at_end, when_late) in [
        (&b""[..], Refused::SaidNothing, Refused::HeaderTimeout),
        (cut_header, Refused::HeaderTruncated, Refused::HeaderTimeout),
        (&local, Refused::HealthCheck, Refused::HealthCheck),
        (CAPTURED, Refused::SaidNothing, Refused::HelloTimeout),
        (&with_cut_hello, Refused::HelloTruncated, Refused::HelloTimeout),
    ] {
        assert_eq!(both(bytes, News::End), Err(at_end), "{bytes:?}");
        assert_eq!(both(bytes, News::Late), Err(when_late), "{bytes:?}");
    }
}

#[test]
fn a_consumer_that_waits_for_the_server_goes_on_after_the_deadline() {
    assert_eq!(headers(CAPTURED, News::Late).unwrap().read, b"");
    assert_eq!(headers(CAPTURED, News::End), Err(Refused::SaidNothing));
}

#[test]
fn a_load_balancer_that_speaks_is_carried() {
    let preface = headers(&[&header(LOCAL, 0, b"")[..], b"G"].concat(), News::Bytes).unwrap();
    assert!(preface.is_local);
    assert_eq!(preface.read, b"G");
}

#[test]
fn the_name_is_read_behind_the_headers_and_the_hello_travels_on() {
    let hello = client_hello("api.example.com");
    let bytes = [CAPTURED, &hello, b"more"].concat();
    let preface = both(&bytes, News::Bytes).unwrap();
    assert_eq!(preface.server_name.unwrap().as_str(), "api.example.com");
    assert_eq!(preface.read, [&hello[..], b"more"].concat());
}

#[test]
fn a_name_alone_may_be_wanted() {
    let hello = client_hello("api.example.com");
    let preface = reads(Reading::new(false, true), &[&hello], News::Bytes).unwrap().unwrap();
    assert_eq!(preface.server_name.unwrap().as_str(), "api.example.com");
    assert_eq!(preface.read, hello);
    for (last, why) in [(News::End, Refused::SaidNothing), (News::Late, Refused::HelloTimeout)] {
        assert_eq!(reads(Reading::new(false, true), &[], last), Err(why));
    }
}

#[test]
fn a_header_where_none_is_wanted_is_no_tls() {
    let refused = reads(Reading::new(false, true), &[CAPTURED], News::Bytes);
    assert_eq!(refused, Err(Refused::NotTls));
}

#[test]
fn all_splits_in_two_read_the_same() {
    let hello = in_records_of(64, &client_hello("api.example.com"));
    let bytes = [CAPTURED, &second("vpce-0123abcd"), &hello, b"data"].concat();
    let whole = both(&bytes, News::Bytes).unwrap();
    for at in 0..=bytes.len() {
        let (first, rest) = bytes.split_at(at);
        let split = reads(Reading::new(true, true), &[first, rest], News::Bytes);
        assert_eq!(split.unwrap().as_ref(), Some(&whole), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn any_pieces_read_as_the_whole_does(
        sizes in proptest::collection::vec(1..60_usize, 1..40),
        count in 0..5_usize,
        noise in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let hello = client_hello("api.example.com");
        let bytes = [&CAPTURED.repeat(count), &noise, &hello[..]].concat();
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = &bytes[..];
        for size in sizes {
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        let whole = reads(Reading::new(true, true), &[&bytes], News::End);
        prop_assert_eq!(reads(Reading::new(true, true), &pieces, News::End), whole);
    }
}
