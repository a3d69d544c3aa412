use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;

use proptest::prelude::*;

use super::{ExtensionError, ExtensionHandshake, ExtensionIds};

fn check(payload: &[u8], expected: &ExtensionHandshake) {
    assert_eq!(
        ExtensionHandshake::parse(payload).as_ref(),
        Ok(expected),
        "{}",
        payload.escape_ascii()
    );
}

fn full() -> ExtensionHandshake {
    ExtensionHandshake {
        messages: ExtensionIds {
            lt_donthave: NonZeroU8::new(1),
            upload_only: NonZeroU8::new(2),
            ut_metadata: NonZeroU8::new(3),
            ut_pex: NonZeroU8::new(4),
        },
        client: Some("shoal 0.1.0".to_owned()),
        requests_len_max: Some(500),
        port: Some(6881),
        your_ip: Some(Ipv4Addr::LOCALHOST.into()),
        metadata_len: Some(31_235),
        upload_only: true,
    }
}

#[test]
fn what_is_written_is_canonical_and_reads_back() {
    let mut payload = Vec::new();
    full().encode(&mut payload);
    let expected = b"d1:md11:lt_donthavei1e11:upload_onlyi2e11:ut_metadatai3e6:ut_pexi4ee\
        13:metadata_sizei31235e1:pi6881e4:reqqi500e11:upload_onlyi1e1:v11:shoal 0.1.06:yourip4:\x7f\0\0\x01e";
    assert_eq!(
        payload.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    check(&payload, &full());
}

#[test]
fn nothing_said_is_nothing_known() {
    check(b"de", &ExtensionHandshake::default());
    let mut payload = Vec::new();
    ExtensionHandshake::default().encode(&mut payload);
    assert_eq!(payload, b"d1:mdee");
}

#[test]
fn an_ipv6_address_has_sixteen_bytes() {
    let your_ip = Some(Ipv6Addr::LOCALHOST.into());
    let mut payload = b"d6:yourip16:".to_vec();
    payload.extend(Ipv6Addr::LOCALHOST.octets());
    payload.push(b'e');
    check(
        &payload,
        &ExtensionHandshake {
            your_ip,
            ..ExtensionHandshake::default()
        },
    );
}

#[test]
fn case_27_junk_reads_as_not_said() {
    check(
        b"d1:mi5e13:metadata_size3:abc1:pi99999e4:reqqi-1e11:upload_only1:11:vli1ee6:yourip3:abce",
        &ExtensionHandshake::default(),
    );
    check(
        b"d1:md6:ut_pexi0e11:ut_metadatai256e5:otheri7eee",
        &ExtensionHandshake::default(),
    );
    check(b"de<trailing>", &ExtensionHandshake::default());
    check(b"d1:v4:\x1b\r\n\xffe", &ExtensionHandshake::default());
}

#[test]
fn case_19_a_metadata_size_that_lies_reads_as_not_said() {
    for size in ["0", "-1", "2147483648", "10485761"] {
        check(
            format!("d13:metadata_sizei{size}ee").as_bytes(),
            &ExtensionHandshake::default(),
        );
    }
}

#[test]
fn case_27_a_huge_name_is_cut() {
    let payload = [b"d1:v20000:".as_slice(), &b"\xc3\xa4".repeat(10_000), b"e"].concat();
    let client = ExtensionHandshake::parse(&payload).unwrap().client;
    assert_eq!(client, Some("\u{e4}".repeat(32)));
}

#[test]
fn case_27_what_is_no_dictionary_is_refused() {
    assert_eq!(
        ExtensionHandshake::parse(b"le"),
        Err(ExtensionError::NotADictionary)
    );
    for payload in [
        b"".as_slice(),
        b"d1:v",
        &b"d1:m".repeat(5_000),
        &b"l".repeat(20_000),
    ] {
        assert!(matches!(
            ExtensionHandshake::parse(payload),
            Err(ExtensionError::Bencode(_))
        ));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = ExtensionHandshake::parse(&payload);
    }

    #[test]
    fn any_values_under_known_keys_are_tolerated(
        key in prop::sample::select(vec!["m", "v", "reqq", "p", "yourip", "metadata_size", "upload_only"]),
        value in "(i-?[1-9][0-9]{0,17}e|l(i7e)*e|d1:ai1ee|4:[ -~]{4})",
    ) {
        let payload = format!("d{}:{key}{value}e", key.len());
        prop_assert!(ExtensionHandshake::parse(payload.as_bytes()).is_ok());
    }
}
