//! Bencode: the engine's one-pass check and its views, against a reader that recurses and copies.
//!
//! The grammar of the engine gives every value exactly one spelling, so an accepted document written out again must be
//! the same bytes. What it must refuse is decided by [`Reference`], which knows nothing but the grammar.

use shoal_proto::bencode::{DictWriter, Document, ListWriter, Value, decode, decode_prefix, write_dict};
use shoal_proto::limits::BENCODE_DEPTH_MAX;

use crate::bencode::Value as Tree;

/// Any bytes as bencode.
pub fn bencode(data: &[u8]) {
    let mut reference = Reference {
        len: data.len(),
        disorder: None,
    };
    match (decode_prefix(data), reference.value(data, 0)) {
        (Ok((document, rest)), Some((tree, expected_rest))) => {
            assert_eq!(rest, expected_rest, "where the value ends");
            assert_eq!(
                document.disorder(),
                reference.disorder,
                "the first key out of order"
            );
            assert_eq!(bencode_tree(document.root()), tree);
            let consumed = &data[..data.len() - rest.len()];
            assert_eq!(tree.encode(), consumed, "a value has one spelling");
            check_places(document.root(), data);
            check_rewriting(document, &tree);
        }
        (Err(error), None) => assert!(error.offset <= data.len(), "{error}"),
        (engine, reference) => panic!("engine: {engine:?}, reference: {reference:?}"),
    }
    let ends_there = decode_prefix(data).is_ok_and(|(_, rest)| rest.is_empty());
    assert_eq!(decode(data).is_ok(), ends_there, "a document is one value");
}

/// What the engine reads, copied into the tests' own form.
pub fn bencode_tree(value: Value<'_>) -> Tree {
    if let Some(integer) = value.integer() {
        return Tree::Integer(integer);
    }
    if let Some(bytes) = value.bytes() {
        return Tree::bytes(bytes);
    }
    if let Some(list) = value.list() {
        return Tree::List(list.iter().map(bencode_tree).collect());
    }
    let dict = value.dict().expect("a value is one of four things");
    let entries = dict
        .entries()
        .map(|(key, value)| (key.to_vec(), bencode_tree(value)));
    Tree::Dictionary(entries.collect())
}

/// Every value is the bytes that its span names, and looking up a key finds its first value.
fn check_places(value: Value<'_>, input: &[u8]) {
    assert_eq!(&input[value.span()], value.raw());
    if let Some(list) = value.list() {
        list.iter().for_each(|element| check_places(element, input));
    }
    if let Some(dict) = value.dict() {
        for (key, element) in dict.entries() {
            let first = dict.entries().find(|(found, _)| *found == key);
            assert_eq!(dict.get(key), first.map(|(_, value)| value));
            check_places(element, input);
        }
    }
}

/// Written with sorted keys, the first of equal ones, a dictionary reads as the same and in order.
fn check_rewriting(document: Document<'_>, tree: &Tree) {
    let Tree::Dictionary(entries) = tree else { return };
    let mut written = Vec::new();
    write_dict(&mut written, |dict| write_entries(dict, entries));
    let again = decode(&written).expect("what the engine writes it reads");
    assert_eq!(again.disorder(), None);
    if document.disorder().is_none() {
        assert_eq!(written, document.root().raw());
    }
}

fn write_entries(dict: &mut DictWriter<'_>, entries: &[(Vec<u8>, Tree)]) {
    let mut sorted: Vec<_> = entries.iter().collect();
    // Stable, so of equal keys the first stays first.
    sorted.sort_by(|(first, _), (second, _)| first.cmp(second));
    sorted.dedup_by(|(second, _), (first, _)| first == second);
    for (key, value) in sorted {
        match value {
            Tree::Integer(integer) => dict.integer(key, *integer),
            Tree::Bytes(bytes) => dict.bytes(key, bytes),
            Tree::List(items) => dict.list(key, |list| write_items(list, items)),
            Tree::Dictionary(entries) => dict.dict(key, |dict| write_entries(dict, entries)),
            Tree::Raw(_) => unreachable!("nothing that was read is raw"),
        }
    }
}

fn write_items(list: &mut ListWriter<'_>, items: &[Tree]) {
    for item in items {
        match item {
            Tree::Integer(integer) => list.integer(*integer),
            Tree::Bytes(bytes) => list.bytes(bytes),
            Tree::List(items) => list.list(|list| write_items(list, items)),
            Tree::Dictionary(entries) => list.dict(|dict| write_entries(dict, entries)),
            Tree::Raw(_) => unreachable!("nothing that was read is raw"),
        }
    }
}

/// A reader of bencode by the letter: a number is what printing it gives, nothing is nested too deep. It does not count
/// tokens, of which no input of a fuzzer has three million.
struct Reference {
    /// Bytes in the whole input.
    len: usize,
    /// Offset of the first key that does not follow the one before it.
    disorder: Option<usize>,
}

impl Reference {
    /// The value at the front of `input`, inside of `depth` others, and what follows it.
    fn value<'a>(&mut self, input: &'a [u8], depth: usize) -> Option<(Tree, &'a [u8])> {
        match input.first()? {
            b'i' => {
                let (integer, rest) = number::<i64>(&input[1..], b'e')?;
                Some((Tree::Integer(integer), rest))
            }
            b'l' if depth < BENCODE_DEPTH_MAX => self.list(&input[1..], depth + 1),
            b'd' if depth < BENCODE_DEPTH_MAX => self.dictionary(&input[1..], depth + 1),
            _ => string(input).map(|(bytes, rest)| (Tree::bytes(bytes), rest)),
        }
    }

    fn list<'a>(&mut self, mut input: &'a [u8], depth: usize) -> Option<(Tree, &'a [u8])> {
        let mut items = Vec::new();
        while *input.first()? != b'e' {
            let (item, rest) = self.value(input, depth)?;
            items.push(item);
            input = rest;
        }
        Some((Tree::List(items), &input[1..]))
    }

    fn dictionary<'a>(&mut self, mut input: &'a [u8], depth: usize) -> Option<(Tree, &'a [u8])> {
        let mut entries: Vec<(Vec<u8>, Tree)> = Vec::new();
        while *input.first()? != b'e' {
            let (key, rest) = string(input)?;
            if entries.last().is_some_and(|(last, _)| last.as_slice() >= key) {
                self.disorder.get_or_insert(self.len - input.len());
            }
            let (value, rest) = self.value(rest, depth)?;
            entries.push((key.to_vec(), value));
            input = rest;
        }
        Some((Tree::Dictionary(entries), &input[1..]))
    }
}

fn string(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = number::<usize>(input, b':')?;
    rest.split_at_checked(len)
}

/// The number up to `end`: only the digits that printing it would give.
fn number<N: std::str::FromStr + ToString>(input: &[u8], end: u8) -> Option<(N, &[u8])> {
    let len = input.iter().position(|byte| *byte == end)?;
    let digits = str::from_utf8(&input[..len]).ok()?;
    let number: N = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number, &input[len + 1..]))
}
