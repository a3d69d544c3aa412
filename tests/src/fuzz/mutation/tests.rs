use std::collections::BTreeSet;

use shoal_proto::metainfo::Metainfo;

use super::{count, node, of_bytes, of_document, with_fitting_hashes};
use crate::bencode::Value;
use crate::random::Random;

fn torrent(length: i64) -> Value {
    let info = Value::dictionary([
        ("length", Value::Integer(length)),
        ("name", Value::bytes("a")),
        ("piece length", Value::Integer(16_384)),
        ("pieces", Value::bytes("")),
    ]);
    Value::dictionary([("info", info)])
}

#[test]
fn every_value_of_a_document_can_be_chosen() {
    let mut document = torrent(5);
    let len = count(&document);
    assert_eq!(len, 6);
    let chosen: BTreeSet<_> = (0..len)
        .map(|position| node(&mut document, position).expect("a value").encode())
        .collect();
    assert_eq!(chosen.len(), len, "no value twice");
    assert_eq!(node(&mut document, len), None);
}

#[test]
fn a_length_gets_the_hashes_that_it_needs() {
    for (length, hashes) in [(1, 1), (16_384, 1), (16_385, 2), (1_000_000, 62)] {
        let fitted = with_fitting_hashes(torrent(length)).encode();
        let metainfo = Metainfo::parse(&fitted).expect("a torrent with its hashes");
        assert_eq!(metainfo.layout().pieces(), hashes);
    }
    for length in [0, -1, i64::MAX] {
        assert_eq!(
            with_fitting_hashes(torrent(length)),
            torrent(length),
            "no torrent, or a large one"
        );
    }
}

#[test]
fn the_same_seed_makes_the_same_documents_and_others_others() {
    let made = |name: &str| {
        let mut random = Random::named(name);
        let documents = (0..50).map(|_| of_document(&torrent(5), &mut random).encode());
        documents.collect::<Vec<_>>()
    };
    assert_eq!(made("a"), made("a"));
    assert_ne!(made("a"), made("b"));
    let different: BTreeSet<_> = made("a").into_iter().collect();
    assert!(different.len() > 40, "{}", different.len());
}

#[test]
fn nothing_at_all_can_be_changed_too() {
    let mut random = Random::named("empty");
    for _ in 0..100 {
        of_bytes(&[], &mut random);
        of_document(&Value::List(Vec::new()), &mut random).encode();
    }
}
