use proptest::prelude::*;

use super::{Magnet, MagnetError, PeerAddress};
use crate::digest::Digest;
use crate::info_hash::InfoHashError;
use crate::limits::{MAGNET_LEN_MAX, TRACKERS_MAX};
use crate::metainfo::{Attributes, Content, MetainfoBuilder};

const V1: &str = "urn:btih:14ffe5dd23188fd5cb53a1d47f1289db70abf31e";
const V2: &str = "urn:btmh:1220d8dd32ac93357c368556af3ac1d95c9d76bd0dff6fa9833ecdac3d53134efabb";

/// What the link says, written back.
fn check(link: &str, expected: Result<&str, MagnetError>) {
    let found = link.parse::<Magnet>().map(|magnet| magnet.to_string());
    assert_eq!(found, expected.map(str::to_owned), "{link}");
}

#[test]
fn a_hash_is_enough() {
    check(&format!("magnet:?xt={V1}"), Ok(&format!("magnet:?xt={V1}")));
    check(
        "MAGNET:?xt=urn:BTIH:CT76LXJDDCH5LS2TUHKH6EUJ3NYKX4Y6",
        Ok(&format!("magnet:?xt={V1}")),
    );
    check(
        &format!("magnet:?dn=x&xt.1={}", V1.replace(':', "%3A")),
        Ok(&format!("magnet:?xt={V1}&dn=x")),
    );
}

#[test]
fn case_18_version_2_and_both_are_told_apart() {
    check(&format!("magnet:?xt={V2}"), Ok(&format!("magnet:?xt={V2}")));
    check(
        &format!("magnet:?xt={V2}&xt={V1}"),
        Ok(&format!("magnet:?xt={V1}&xt={V2}")),
    );
    let magnet: Magnet = format!("magnet:?xt={V2}&xt={V1}").parse().unwrap();
    assert_eq!(magnet.info_hash.as_bytes().len(), 20);
    assert_eq!(magnet.hybrid.map(|hash| hash.as_bytes().len()), Some(32));
}

#[test]
fn everything_that_can_be_used_is_kept() {
    let link = format!(
        "magnet:?xt={V1}&dn=a+b%26c%C3%A4&tr=udp%3A%2F%2Fa%2F&tr.2=http://b/x%20y&tr=udp://a/&ws=https://w/\
         &x.pe=1.2.3.4:6881&x.pe=[::1]:1&x.pe=host.example:65535&so=0,2-4&unknown=1&&="
    );
    let magnet: Magnet = link.parse().unwrap();
    assert_eq!(magnet.name.as_deref(), Some("a b&c\u{e4}"));
    assert_eq!(magnet.trackers, ["udp://a/"]);
    assert_eq!(magnet.web_seeds, ["https://w/"]);
    let peers: Vec<String> = magnet.peers.iter().map(PeerAddress::to_string).collect();
    assert_eq!(peers, ["1.2.3.4:6881", "[::1]:1", "host.example:65535"]);
    assert_eq!(magnet.selected, [0..=0, 2..=4]);
    let written = magnet.to_string();
    assert_eq!(
        written,
        format!(
            "magnet:?xt={V1}&dn=a%20b%26c%C3%A4&tr=udp%3A%2F%2Fa%2F&ws=https%3A%2F%2Fw%2F\
             &x.pe=1.2.3.4:6881&x.pe=[::1]:1&x.pe=host.example:65535&so=0,2-4"
        )
    );
    assert_eq!(written.parse(), Ok(magnet));
}

#[test]
fn what_cannot_be_used_is_left_out() {
    let junk = "&dn=%0A%ff&tr=x&tr=file:///&ws=udp://a/&x.pe=1.2.3.4&x.pe=:1&x.pe=a:0&x.pe=::1:5&x.pe=[a]:5&x.pe=a%20b:1";
    check(&format!("magnet:?xt={V1}{junk}"), Ok(&format!("magnet:?xt={V1}")));
    check(
        &format!("magnet:?xt=urn:ed2k:31D6CFE0&xt={V1}&tr=%&dn=100%"),
        Ok(&format!("magnet:?xt={V1}&dn=100%25")),
    );
}

#[test]
fn case_18_ten_thousand_trackers_are_cut_to_the_limit() {
    let trackers: String = (0..10_000).map(|n| format!("&tr=udp://{n}.example/")).collect();
    let magnet: Magnet = format!("magnet:?xt={V1}{trackers}").parse().unwrap();
    assert_eq!(magnet.trackers.len(), TRACKERS_MAX);
    let len = MAGNET_LEN_MAX + 1;
    let mut link = format!("magnet:?xt={V1}&dn=");
    link.extend(std::iter::repeat_n('a', len - link.len()));
    check(&link, Err(MagnetError::TooLong { len }));
}

#[test]
fn case_18_a_link_without_one_torrent_is_refused() {
    check("", Err(MagnetError::NotAMagnet));
    check("https://example/", Err(MagnetError::NotAMagnet));
    check("magnet:?", Err(MagnetError::NoHash));
    check(
        "magnet:?dn=name&xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0",
        Err(MagnetError::NoHash),
    );
    let other = V1.replace("14", "15");
    check(
        &format!("magnet:?xt={V1}&xt={V1}"),
        Ok(&format!("magnet:?xt={V1}")),
    );
    check(
        &format!("magnet:?xt={V1}&xt={other}"),
        Err(MagnetError::TwoTorrents),
    );
}

#[test]
fn case_18_bad_hashes_are_refused() {
    check(
        "magnet:?xt=urn:btih:",
        Err(InfoHashError::Length { len: 0 }.into()),
    );
    check(
        "magnet:?xt=urn:btih:xyz",
        Err(InfoHashError::Length { len: 3 }.into()),
    );
    check(
        "magnet:?xt=urn:btih:CT76LXJDDCH5LS2TUHKH6EUJ3NYKX4Y1",
        Err(InfoHashError::Digit {
            at: 31,
            base: "base32",
        }
        .into()),
    );
    check(
        &format!("magnet:?xt=urn:btih:{}", "a".repeat(64)),
        Err(MagnetError::HashKind),
    );
    check(
        &format!("magnet:?xt=urn:btmh:1220{}", "a".repeat(40)),
        Err(MagnetError::HashKind),
    );
    check(
        &format!("magnet:?xt=urn:btmh:1114{}", "a".repeat(40)),
        Err(MagnetError::HashKind),
    );
}

#[test]
fn peers_that_are_none_are_left_out() {
    // The first of them was once taken for a host called `[::1`, and written back as `[[::1]:1`.
    for peer in [
        "[::1:1",
        "::1]:1",
        "[::1]x:1",
        "[1.2.3.4]:1",
        "[]:1",
        "a:+1",
        "a:-1",
        "a:",
        "a:65536",
        "a_b:1",
    ] {
        check(
            &format!("magnet:?xt={V1}&x.pe={peer}"),
            Ok(&format!("magnet:?xt={V1}")),
        );
    }
}

#[test]
fn a_selection_that_is_none_is_refused() {
    for selection in [
        "",
        "a",
        "1,",
        "3-1",
        "-1",
        "1-",
        "+1",
        "1-+2",
        "4294967296",
        "999999",
    ] {
        check(
            &format!("magnet:?xt={V1}&so={selection}"),
            Err(MagnetError::Selection),
        );
    }
}

#[test]
fn a_torrent_file_makes_a_link() {
    let content = Content::File {
        len: 1,
        attributes: Attributes::default(),
    };
    let builder = MetainfoBuilder {
        trackers: vec![vec!["udp://a/".to_owned()]],
        web_seeds: vec!["http://w/".to_owned()],
        ..MetainfoBuilder::new("a b", content, 16_384)
    };
    let metainfo = builder.build(&[Digest::Sha1([0; 20])]).unwrap().metainfo;
    let hash = metainfo.info_hash();
    assert_eq!(
        Magnet::from(&metainfo).to_string(),
        format!("magnet:?xt=urn:btih:{hash}&dn=a%20b&tr=udp%3A%2F%2Fa%2F&ws=http%3A%2F%2Fw%2F")
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,100}") {
        let _ = text.parse::<Magnet>();
        let _ = format!("magnet:?{text}").parse::<Magnet>();
    }

    #[test]
    fn any_parameters_beside_a_hash_are_read_or_refused_and_written_back(
        parameters in "(&(xt|dn|tr|ws|x\\.pe|so|z)=[ -~\u{e4}%]{0,20}){0,5}",
    ) {
        if let Ok(magnet) = format!("magnet:?xt={V1}{parameters}").parse::<Magnet>() {
            prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
        }
    }
}
