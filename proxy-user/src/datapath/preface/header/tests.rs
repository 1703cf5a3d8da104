use proptest::{collection::vec, prelude::*};

use super::{
    super::samples::{
        CAPTURED, CAPTURED_CHECKSUM, LOCAL, PROXY, TCP4, TCP6, V4, header, sealed, tlv,
    },
    *,
};

fn captured() -> Header {
    Header::Proxied(Consumer {
        source: "172.31.7.113:51442".parse().unwrap(),
        destination: "172.31.10.31:80".parse().unwrap(),
        vpce: Some("vpce-08d2bf15fac5001c9".parse().unwrap()),
    })
}

fn whole(bytes: &[u8]) -> Result<Header, Refused> {
    parse(bytes).map(|parsed| {
        let (header, length) = parsed.expect("the header is whole");
        assert_eq!(length, bytes.len());
        header
    })
}

fn proxied(tlvs: &[u8]) -> Result<Header, Refused> {
    whole(&header(PROXY, TCP4, &[&V4, tlvs].concat()))
}

#[test]
fn a_header_from_privatelink_names_the_consumer_and_the_endpoint() {
    assert_eq!(whole(CAPTURED), Ok(captured()));
    let followed = [CAPTURED, b"\x16\x03\x01"].concat();
    assert_eq!(parse(&followed), Ok(Some((captured(), CAPTURED.len()))));
}

#[test]
fn a_header_is_incomplete_until_its_last_byte() {
    for length in 0..CAPTURED.len() {
        assert_eq!(parse(&CAPTURED[..length]), Ok(None), "{length} bytes");
    }
}

/// A checksum does not see that it is there no more: of all flips, those eight go unnoticed that
/// make its field one of an unknown type. They leave the identity as it was.
#[test]
fn a_flipped_bit_is_noticed_unless_it_hides_the_checksum() {
    let mut unseen = Vec::new();
    for at in 0..CAPTURED.len() {
        for bit in 0..8 {
            let mut bytes = CAPTURED.to_vec();
            bytes[at] ^= 1 << bit;
            match parse(&bytes) {
                Err(_) | Ok(None) => {}
                Ok(Some(taken)) => {
                    assert_eq!(taken, (captured(), CAPTURED.len()), "bit {bit} of byte {at}");
                    unseen.push(at);
                }
            }
        }
    }
    assert_eq!(unseen, [CAPTURED_CHECKSUM; 8]);
}

#[test]
fn local_holds_whatever_its_family_and_what_follows() {
    let bytes = [
        header(LOCAL, 0x00, b""),
        header(LOCAL, 0xff, b"anything"),
        header(LOCAL, TCP4, b"short"),
        header(LOCAL, TCP4, &[&V4[..], &tlv(4, b"padding")].concat()),
        sealed(LOCAL, TCP4, &V4, &tlv(0xea, b"\x01no id")),
    ];
    for local in bytes {
        assert_eq!(whole(&local), Ok(Header::Local), "{local:?}");
    }
}

#[test]
fn a_wrong_checksum_is_refused_also_where_the_rest_is_skipped() {
    for (command, family) in [(PROXY, TCP4), (LOCAL, TCP4), (LOCAL, 0), (PROXY, 0)] {
        let addresses: &[u8] = if family == 0 { b"" } else { &V4 };
        let mut bytes = sealed(command, family, addresses, &tlv(4, b"padding"));
        assert!(whole(&bytes).is_ok());
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(whole(&bytes), Err(Refused::HeaderChecksum), "{command:x} {family:x}");
    }
}

#[test]
fn ipv6_is_taken() {
    let ends = ["fd00::1", "fd00::2"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
    let payload = [&ends[0][..], &ends[1], &51442u16.to_be_bytes(), &443u16.to_be_bytes()].concat();
    let consumer = Consumer {
        source: "[fd00::1]:51442".parse().unwrap(),
        destination: "[fd00::2]:443".parse().unwrap(),
        vpce: None,
    };
    let bytes = sealed(PROXY, TCP6, &payload, &tlv(4, b""));
    assert_eq!(whole(&bytes), Ok(Header::Proxied(consumer)));
}

#[test]
fn a_proxied_connection_of_no_family_keeps_its_own_addresses() {
    assert_eq!(whole(&header(PROXY, 0, b"")), Ok(Header::Unspecified));
    assert_eq!(whole(&header(PROXY, 0, b"whatever this is")), Ok(Header::Unspecified));
}

#[test]
fn what_is_no_header_of_ours_is_refused_by_reason() {
    for (bytes, why) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), Refused::HeaderMissing),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), Refused::HeaderMissing),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Refused::HeaderMissing),
        (header(0x31, TCP4, &V4), Refused::HeaderVersion),
        (header(0x11, TCP4, &V4), Refused::HeaderVersion),
        (header(0x22, TCP4, &V4), Refused::HeaderCommand),
        (header(PROXY, 0x12, &V4), Refused::HeaderFamily),
        (header(PROXY, 0x22, &[0; 36]), Refused::HeaderFamily),
        (header(PROXY, 0x31, &[0; 216]), Refused::HeaderFamily),
        (header(PROXY, 0x10, &V4), Refused::HeaderFamily),
        (header(PROXY, 0x01, &V4), Refused::HeaderFamily),
        (header(PROXY, TCP4, &V4[..11]), Refused::HeaderMalformed),
        (header(PROXY, TCP6, &[0; 35]), Refused::HeaderMalformed),
    ] {
        assert_eq!(parse(&bytes), Err(why), "{bytes:?}");
    }
}

#[test]
fn a_header_longer_than_a_page_is_refused_before_it_has_come() {
    let longest = header(PROXY, 0, &[0; LONGEST - FIXED]);
    assert_eq!(whole(&longest), Ok(Header::Unspecified));
    let longer = header(PROXY, 0, &[0; LONGEST - FIXED + 1]);
    assert_eq!(parse(&longer[..FIXED]), Err(Refused::HeaderTooLong));
}

#[test]
fn fields_that_lie_make_the_header_malformed() {
    let sum = tlv(3, &[0; 4]);
    for tlvs in [
        vec![0x30],
        vec![0x30, 0],
        vec![0x30, 0, 1],
        vec![0x30, 0xff, 0xff, 0],
        tlv(3, &[0; 3]),
        tlv(3, &[0; 5]),
        tlv(0xea, b""),
        [sum.clone(), sum].concat(),
        [tlv(0xea, b"\x01vpce-0123abcd"), tlv(0xea, b"\x01vpce-0123abce")].concat(),
    ] {
        assert_eq!(proxied(&tlvs), Err(Refused::HeaderMalformed), "{tlvs:?}");
    }
}

#[test]
fn an_endpoint_of_another_form_is_not_taken_for_none() {
    for id in [&b""[..], b"vpce-", b"vpce-XYZ", b"vpce-0123abcd\n", b"\xff\xfe", &[b'a'; 300]] {
        let value = [&[1], id].concat();
        assert_eq!(proxied(&tlv(0xea, &value)), Err(Refused::VpceMalformed), "{id:?}");
    }
}

#[test]
fn unknown_fields_and_those_of_aws_that_are_no_endpoint_are_skipped() {
    let plain = proxied(b"").unwrap();
    for tlvs in [tlv(0xe0, b"custom"), tlv(0xea, b"\x02other"), tlv(0x20, b""), tlv(1, b"h2")] {
        assert_eq!(proxied(&tlvs).as_ref(), Ok(&plain), "{tlvs:?}");
    }
}

fn any_unknown_tlv() -> impl Strategy<Value = Vec<u8>> {
    let is_unknown = |kind: &u8| ![0x03, 0xea].contains(kind);
    (any::<u8>().prop_filter("known", is_unknown), vec(any::<u8>(), 0..40))
        .prop_map(|(kind, value)| tlv(kind, &value))
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_consumed_was_given(bytes in vec(any::<u8>(), 0..60)) {
        let bytes = header(bytes.first().map_or(PROXY, |byte| 0x20 | byte & 1), TCP4, &bytes);
        if let Ok(Some((_, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }

    #[test]
    fn the_endpoint_is_found_among_any_other_fields(
        before in vec(any_unknown_tlv(), 0..5),
        after in vec(any_unknown_tlv(), 0..5),
    ) {
        let endpoint = tlv(0xea, b"\x01vpce-0123abcd");
        let tlvs = [before.concat(), endpoint, after.concat()].concat();
        let Ok(Header::Proxied(consumer)) = whole(&sealed(PROXY, TCP4, &V4, &tlvs)) else {
            return Err(TestCaseError::fail("refused"));
        };
        prop_assert_eq!(consumer.vpce, Some("vpce-0123abcd".parse().unwrap()));
    }

    #[test]
    fn fields_cut_short_are_malformed(tlvs in vec(any_unknown_tlv(), 1..4), cut in 1..=2_usize) {
        // The smallest field has three bytes: the last one is there in part.
        let tlvs = tlvs.concat();
        prop_assert_eq!(proxied(&tlvs[..tlvs.len() - cut]), Err(Refused::HeaderMalformed));
    }
}
