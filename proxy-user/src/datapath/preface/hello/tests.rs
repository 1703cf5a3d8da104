use super::{
    super::samples::{big_client_hello, client_hello, in_records_of},
    *,
};

pub fn name(text: &str) -> ServerName {
    ServerName::new(text)
}

fn heard(bytes: &[u8]) -> Result<Heard, Refused> {
    Hello::default().hear(bytes)
}

fn is(text: &str) -> Result<Heard, Refused> {
    Ok(Heard::Whole(Some(name(text))))
}

#[test]
fn the_name_is_in_lower_case() {
    let hello = client_hello("api.example.com");
    let at = hello.windows(3).position(|bytes| bytes == b"api").unwrap();
    let shouted = [&hello[..at], b"API", &hello[at + 3..]].concat();
    let Ok(Heard::Whole(Some(name))) = heard(&shouted) else { panic!("no name was heard") };
    assert_eq!(name.as_str(), "api.example.com");
}

#[test]
fn a_hello_without_a_name_has_none() {
    assert_eq!(heard(&client_hello("10.0.0.1")), Ok(Heard::Whole(None)));
}

#[test]
fn a_hello_is_incomplete_until_its_last_byte_however_it_is_cut() {
    let whole = client_hello("api.example.com");
    for bytes in [in_records_of(1, &whole), in_records_of(100, &whole), whole] {
        let mut hello = Hello::default();
        for length in 0..bytes.len() {
            assert_eq!(hello.hear(&bytes[..length]), Ok(Heard::Incomplete), "{length} bytes");
        }
        assert_eq!(hello.hear(&bytes), is("api.example.com"));
    }
}

#[test]
fn a_hello_in_two_pieces_is_the_same_wherever_it_is_cut() {
    let bytes = in_records_of(70, &client_hello("api.example.com"));
    for length in 0..bytes.len() {
        let mut hello = Hello::default();
        assert_eq!(hello.hear(&bytes[..length]), Ok(Heard::Incomplete), "{length} bytes");
        assert_eq!(hello.hear(&bytes), is("api.example.com"), "{length} bytes");
    }
}

#[test]
fn a_hello_of_several_full_records_is_taken() {
    let bytes = big_client_hello("api.example.com", 200);
    assert!(bytes.len() > 3 * 16_384);
    assert_eq!(heard(&bytes), is("api.example.com"));
    assert_eq!(heard(&in_records_of(1400, &bytes)), is("api.example.com"));
}

#[test]
fn a_hello_beyond_the_bound_is_refused() {
    let mut bytes = vec![22, 3, 1, 0x40, 0];
    // A ClientHello of 16 MiB less one.
    bytes.extend([1, 0xff, 0xff, 0xff]);
    bytes.resize(5 + 0x4000, 0);
    let record = bytes.clone();
    (0..4).for_each(|_| bytes.extend([&[22, 3, 1, 0x40, 0], &record[5..]].concat()));
    assert_eq!(heard(&bytes), Err(Refused::HelloTooLong));
}

#[test]
fn a_hello_within_the_bound_is_refused_if_its_records_are_not() {
    let message = [&[1, 0, 0xff, 0], &[0; 0xff00][..]].concat();
    let records: Vec<u8> = message
        .chunks(0x4000)
        .flat_map(|part| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat())
        .collect();
    assert_eq!(heard(&in_records_of(100, &records)), Err(Refused::HelloTooLong));
}

#[test]
fn empty_records_without_end_are_refused() {
    let records = [22, 3, 1, 0, 0].repeat(20_000);
    assert!(heard(&records).is_err());
}

#[test]
fn what_is_no_tls_is_refused_by_its_first_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r", b"\x80\x2e\x01", b"SSH-2.0", b"\x16\x02"] {
        assert_eq!(heard(bytes), Err(Refused::NotTls), "{bytes:?}");
    }
}

#[test]
fn a_record_that_holds_no_hello_is_refused() {
    // A ServerHelloDone, and a ClientHello of nothing.
    for message in [[14, 0, 0, 0], [1, 0, 0, 0]] {
        let bytes = [&[22, 3, 1, 0, 4][..], &message].concat();
        assert_eq!(heard(&bytes), Err(Refused::HelloMalformed), "{message:?}");
    }
}
