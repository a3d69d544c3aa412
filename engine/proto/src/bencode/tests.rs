use proptest::prelude::*;

use super::{Document, Problem, Value, decode, decode_prefix, write_dict};
use crate::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX};

/// The error's offset and sentence, or that there is none.
fn check(input: &[u8], expected: &str) {
    let found = decode(input).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
    assert_eq!(found, expected, "{}", input.escape_ascii());
}

fn root(input: &[u8]) -> Value<'_> {
    decode(input).unwrap().root()
}

#[test]
fn integers_are_of_64_bits() {
    for integer in [0, 1, -1, 42, i64::MAX, i64::MIN] {
        assert_eq!(root(format!("i{integer}e").as_bytes()).integer(), Some(integer));
    }
    check(b"i9223372036854775808e", "byte 1: the integer is too large");
    check(b"i-9223372036854775809e", "byte 2: the integer is too large");
}

#[test]
fn strings_are_any_bytes() {
    assert_eq!(root(b"0:").bytes(), Some(b"".as_slice()));
    assert_eq!(root(b"4:\0\xffie").bytes(), Some(b"\0\xffie".as_slice()));
}

#[test]
fn a_value_is_only_what_it_is() {
    for (input, kinds) in [
        (b"i1e".as_slice(), "i"),
        (b"1:1".as_slice(), "b"),
        (b"le".as_slice(), "l"),
        (b"de".as_slice(), "d"),
    ] {
        let value = root(input);
        assert_eq!(value.integer().is_some(), kinds == "i");
        assert_eq!(value.bytes().is_some(), kinds == "b");
        assert_eq!(value.list().is_some(), kinds == "l");
        assert_eq!(value.dict().is_some(), kinds == "d");
    }
}

#[test]
fn a_value_knows_its_raw_bytes_and_where_they_stand() {
    let input = b"d1:ai1e4:infod5:inner3:abce1:zl1:xi2eee";
    let info = root(input).dict().unwrap().get(b"info").unwrap();
    assert_eq!(info.raw(), b"d5:inner3:abce");
    assert_eq!(&input[info.span()], info.raw());
    let inner = info.dict().unwrap().get(b"inner").unwrap();
    assert_eq!(&input[inner.span()], b"3:abc");
    let list = root(input).dict().unwrap().get(b"z").unwrap().list().unwrap();
    assert_eq!(
        list.iter().map(Value::raw).collect::<Vec<_>>(),
        [b"1:x".as_slice(), b"i2e"]
    );
}

#[test]
fn a_prefix_leaves_what_follows() {
    let (document, rest) = decode_prefix(b"d5:piecei0eeRAW").unwrap();
    assert_eq!(document.root().raw(), b"d5:piecei0ee");
    assert_eq!(rest, b"RAW");
}

#[test]
fn case_1_deep_nesting_is_refused_without_recursion() {
    for open in [b"l".as_slice(), b"d1:a"] {
        for len in [20_000, 10_000_000] {
            let input = open.repeat(len / open.len());
            let problem = decode(&input).unwrap_err();
            assert_eq!(
                (problem.offset, problem.problem),
                (BENCODE_DEPTH_MAX * open.len(), Problem::TooDeep)
            );
        }
    }
    let deepest = [b"l".repeat(BENCODE_DEPTH_MAX), b"e".repeat(BENCODE_DEPTH_MAX)].concat();
    check(&deepest, "fine");
}

#[test]
fn case_3_string_lengths_that_lie_are_refused() {
    check(
        b"99999999999999999999:",
        "byte 0: the string is longer than the 0 bytes that are left",
    );
    check(b"l5:abcde5:abcde", "byte 15: the input ends inside a value");
    check(
        b"l5:abcd",
        "byte 1: the string is longer than the 4 bytes that are left",
    );
    check(b"05:abcde", "byte 0: a number may not begin with a zero");
    check(b"00:", "byte 0: a number may not begin with a zero");
    check(b"-5:abcde", "byte 0: no value begins with `-`");
    check(b"5abcde", "byte 1: a number may not contain `a`");
    check(b"5", "byte 1: the input ends inside a value");
}

#[test]
fn case_4_malformed_integers_are_refused() {
    check(b"i-0e", "byte 2: a number may not begin with a zero");
    check(b"i01e", "byte 1: a number may not begin with a zero");
    check(b"i-01e", "byte 2: a number may not begin with a zero");
    check(b"ie", "byte 1: a number may not contain `e`");
    check(b"i-e", "byte 2: a number may not contain `e`");
    check(b"i--1e", "byte 2: a number may not contain `-`");
    check(b"i+1e", "byte 1: a number may not contain `+`");
    check(b"i1.5e", "byte 2: a number may not contain `.`");
    check(b"i1", "byte 2: the input ends inside a value");
    check(
        format!("i{}e", "9".repeat(100)).as_bytes(),
        "byte 1: the integer is too large",
    );
}

#[test]
fn case_5_keys_out_of_order_are_accepted_and_reported() {
    let disorder = |input| decode(input).unwrap().disorder();
    assert_eq!(disorder(b"d1:ai1e1:bi2ee"), None);
    assert_eq!(disorder(b"d1:bi1e1:ai2ee"), Some(7));
    assert_eq!(disorder(b"d1:ad2:xyi1e1:xi1eee"), Some(12));
}

#[test]
fn case_5_of_equal_keys_the_first_counts() {
    let input = b"d1:ai1e1:ai2ee";
    assert_eq!(decode(input).unwrap().disorder(), Some(7));
    let value = root(input).dict().unwrap().get(b"a").unwrap();
    assert_eq!(value.integer(), Some(1));
}

#[test]
fn case_6_bytes_behind_the_value_are_refused() {
    check(b"dexyz", "byte 2: 3 bytes follow the end of the value");
    check(b"i1e\n", "byte 3: 1 bytes follow the end of the value");
}

#[test]
fn case_7_a_flat_list_of_too_many_values_is_refused() {
    let mut input = b"l".to_vec();
    input.extend(b"0:".repeat(BENCODE_TOKENS_MAX));
    input.push(b'e');
    assert_eq!(decode(&input).unwrap_err().problem, Problem::TooManyTokens);
}

#[test]
fn what_is_no_bencode_is_refused() {
    check(b"", "byte 0: the input ends inside a value");
    check(b"e", "byte 0: no value begins with `e`");
    check(b"<html>", "byte 0: no value begins with `<`");
    check(b"di1ei2ee", "byte 1: a key must be a string");
    check(b"dlei2ee", "byte 1: a key must be a string");
    check(b"d1:ae", "byte 4: a value is missing before this end");
    check(b"d1:a", "byte 4: the input ends inside a value");
    check(b"li1e", "byte 4: the input ends inside a value");
}

#[test]
#[should_panic(expected = "ascending order")]
fn writing_keys_out_of_order_is_our_own_mistake() {
    write_dict(&mut Vec::new(), |dict| {
        dict.integer(b"b", 1);
        dict.integer(b"a", 1);
    });
}

/// Writes the entries in the way a caller would.
fn written(integers: &[(Vec<u8>, i64)], strings: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    write_dict(&mut out, |dict| {
        dict.dict(b"integers", |inner| {
            for (key, integer) in integers {
                inner.integer(key, *integer);
            }
        });
        dict.list(b"strings", |list| {
            for string in strings {
                list.bytes(string);
                list.list(|inner| inner.integer(string.len() as i64));
                list.dict(|inner| inner.bytes(b"again", string));
            }
        });
    });
    out
}

/// Everything that is in the value, by the views alone.
fn walk(value: Value<'_>) -> usize {
    let mut values = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        values += 1;
        open.extend(value.list().into_iter().flat_map(|list| list.iter()));
        open.extend(
            value
                .dict()
                .into_iter()
                .flat_map(|dict| dict.entries().map(|(_, value)| value)),
        );
    }
    values
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&input).map(Document::root).map(walk);
    }

    #[test]
    fn anything_like_bencode_is_read_or_refused(input in "[ilde0-9:a-]{0,60}") {
        let _ = decode(input.as_bytes()).map(Document::root).map(walk);
    }

    #[test]
    fn what_is_written_is_canonical_and_reads_back(
        integers in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..8), any::<i64>(), 0..8),
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
    ) {
        let integers = Vec::from_iter(integers);
        let bytes = written(&integers, &strings);
        let document = decode(&bytes).unwrap();
        prop_assert_eq!(document.disorder(), None);
        let dict = document.root().dict().unwrap();
        let found = dict.get(b"integers").unwrap().dict().unwrap();
        for (key, integer) in &integers {
            prop_assert_eq!(found.get(key).unwrap().integer(), Some(*integer));
        }
        let found: Vec<_> = dict.get(b"strings").unwrap().list().unwrap().iter().step_by(3).collect();
        prop_assert_eq!(found.iter().map(|s| s.bytes().unwrap().to_vec()).collect::<Vec<_>>(), strings);
    }

    #[test]
    fn input_cut_short_is_refused(cut in 0_usize..100) {
        let bytes = written(&[(b"key".to_vec(), 7)], &[b"abc".to_vec()]);
        prop_assert!(decode(&bytes[..cut % bytes.len()]).is_err());
    }
}
