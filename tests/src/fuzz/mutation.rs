//! Mutations of documents, seeded: what a fuzzer would try first, for runs that have only seconds.
//!
//! [`of_bytes`] works on any input and knows only which bytes mean something in the formats at hand. [`of_document`] works
//! on a document's tree, so that what it makes is wrong in one place and well-formed around it: keys twice, out of order,
//! missing or of another type, numbers that no one should write, names that lead elsewhere, nesting.
//!
//! Not a fuzzer: nothing is measured and nothing is learned.

use crate::bencode::Value;
use crate::random::Random;

/// Bytes that mean something in bencode, links, YAML and frames.
const TELLING: &[u8] = b"0123456789ilde:-/.%&=+,'\"[]{}#\n\t \x00\x01\x7f\x80\xff";

/// Integers at the edges of what anybody computes with.
const INTEGERS: [i64; 14] = [
    0,
    1,
    -1,
    2,
    20,
    255,
    1_024,
    16_384,
    1 << 28,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    i64::MAX,
    i64::MIN,
];

/// The most hashes that [`with_fitting_hashes`] writes: 20 kB of them.
const HASHES_MAX: i64 = 1_000;

/// What looks like a value and is none, or is one in another spelling.
const SPELLINGS: [&[u8]; 22] = [
    b"i-0e",
    b"i00e",
    b"i007e",
    b"i-07e",
    b"i+7e",
    b"i 7e",
    b"i7 e",
    b"i7.0e",
    b"ie",
    b"i-e",
    b"i--1e",
    b"i9223372036854775808e",
    b"i-9223372036854775809e",
    b"i99999999999999999999999999e",
    b"01:a",
    b"00:",
    b"-1:a",
    b"2147483648:a",
    b"99999999999999999999:a",
    b"1a:b",
    b"d1:ai1ei2ei3ee",
    b"e",
];

/// Names that a file system, a terminal or another client may read as something else.
const NAMES: [&[u8]; 26] = [
    b"",
    b".",
    b"..",
    b"...",
    b"a",
    b"A",
    b"/",
    b"/a",
    b"a/b",
    b"a/../b",
    b"a\\b",
    b"C:",
    b"a\0b",
    b"a\nb",
    b"\x1b[2J",
    b"\x7f",
    b" ",
    b"a ",
    b"a.",
    b"con",
    b"\xff",
    b"\xc3\x28",
    "e\u{301}".as_bytes(),
    "\u{202e}gpj".as_bytes(),
    "\u{2066}a".as_bytes(),
    "\u{feff}a".as_bytes(),
];

/// Keys that mean something in a torrent file; one that is added may meet its namesake.
const KEYS: [&str; 22] = [
    "announce",
    "announce-list",
    "attr",
    "comment",
    "created by",
    "creation date",
    "files",
    "info",
    "length",
    "meta version",
    "name",
    "name.utf-8",
    "path",
    "path.utf-8",
    "piece length",
    "pieces",
    "private",
    "source",
    "symlink path",
    "url-list",
    "file tree",
    "zzzz",
];

/// The input with one to four small changes.
pub fn of_bytes(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change_bytes(&mut bytes, random);
    }
    bytes
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = bytes.len().min(at + 1 + random.below(8));
    match random.below(7) {
        0 if random.below(4) == 0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
        3 => {
            // Something that stands there stands there twice, or elsewhere too.
            let copied = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copied);
        }
        4 if at < bytes.len() => bytes[at] = TELLING[random.below(TELLING.len())],
        5 if at < bytes.len() => bytes[at] = random.word() as u8,
        _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        _ => bytes.push(random.word() as u8),
    }
}

/// The document with one to three changes of its tree.
pub fn of_document(document: &Value, random: &mut Random) -> Value {
    let mut changed = document.clone();
    for _ in 0..=random.below(3) {
        let chosen = random.below(count(&changed));
        let node = node(&mut changed, chosen).expect("a number below the count of nodes");
        change_node(node, random);
    }
    changed
}

/// The torrent file with as many piece hashes as its lengths need, where they make a small torrent at all: a change of a
/// length would otherwise never get past the first check.
pub fn with_fitting_hashes(mut document: Value) -> Value {
    if let Value::Dictionary(torrent) = &mut document
        && let Some(Value::Dictionary(info)) = entry(torrent, b"info")
        && let Some(Value::Integer(piece_length @ 1..)) = entry(info, b"piece length").cloned()
        && let Some(total_len) = total_len(info)
        && total_len > 0
        && let hashes = (total_len - 1) / piece_length + 1
        && hashes <= HASHES_MAX
        && let Some(Value::Bytes(pieces)) = entry(info, b"pieces")
    {
        pieces.resize(hashes as usize * 20, b'h');
    }
    document
}

fn total_len(info: &mut [(Vec<u8>, Value)]) -> Option<i64> {
    let length = |entries: &mut [(Vec<u8>, Value)]| match entry(entries, b"length") {
        Some(Value::Integer(length)) => Some(*length),
        _ => None,
    };
    let Some(Value::List(files)) = entry(info, b"files") else {
        return length(info);
    };
    files.iter_mut().try_fold(0_i64, |sum, file| match file {
        Value::Dictionary(file) => sum.checked_add(length(file)?),
        _ => None,
    })
}

/// The first value of this key: the one that counts.
fn entry<'v>(entries: &'v mut [(Vec<u8>, Value)], key: &[u8]) -> Option<&'v mut Value> {
    entries
        .iter_mut()
        .find(|(found, _)| found == key)
        .map(|(_, value)| value)
}

fn change_node(node: &mut Value, random: &mut Random) {
    match node {
        Value::Dictionary(entries) if random.below(4) > 0 => change_entries(entries, random),
        Value::List(items) if random.below(4) > 0 => change_items(items, random),
        Value::Integer(integer) if random.below(2) > 0 => {
            *integer = match random.below(3) {
                0 => integer.saturating_add(1),
                1 => integer.saturating_neg(),
                _ => INTEGERS[random.below(INTEGERS.len())],
            };
        }
        Value::Bytes(bytes) if random.below(2) > 0 => match random.below(4) {
            0 => drop(bytes.pop()),
            1 => bytes.push(b'a'),
            2 => bytes.extend(bytes.clone().iter().take(4_000)),
            _ => *bytes = NAMES[random.below(NAMES.len())].to_vec(),
        },
        _ => *node = replacement(std::mem::replace(node, Value::List(Vec::new())), random),
    }
}

fn change_entries(entries: &mut Vec<(Vec<u8>, Value)>, random: &mut Random) {
    let at = random.below(entries.len().max(1));
    match random.below(6) {
        0 if !entries.is_empty() => drop(entries.remove(at)),
        1 if !entries.is_empty() => {
            let doubled = entries[at].clone();
            entries.insert(at + random.below(2), doubled);
        }
        2 if entries.len() > 1 => {
            let other = random.below(entries.len());
            entries.swap(at, other);
        }
        3 if !entries.is_empty() => entries[at].0 = key(random),
        4 => entries.insert(at, (key(random), leaf(random))),
        // Added where it belongs.
        _ => {
            let key = key(random);
            let at = entries.partition_point(|(present, _)| *present < key);
            entries.insert(at, (key, leaf(random)));
        }
    }
}

fn change_items(items: &mut Vec<Value>, random: &mut Random) {
    let at = random.below(items.len().max(1));
    match random.below(4) {
        0 if !items.is_empty() => drop(items.remove(at)),
        1 if !items.is_empty() => {
            let doubled = items[at].clone();
            items.insert(at, doubled);
        }
        2 if items.len() > 1 => {
            let other = random.below(items.len());
            items.swap(at, other);
        }
        _ => items.insert(at, leaf(random)),
    }
}

fn replacement(node: Value, random: &mut Random) -> Value {
    match random.below(5) {
        0 => Value::List(vec![node]),
        1 => Value::Dictionary(vec![(key(random), node)]),
        2 => nested(random),
        3 => Value::raw(SPELLINGS[random.below(SPELLINGS.len())]),
        _ => leaf(random),
    }
}

fn key(random: &mut Random) -> Vec<u8> {
    KEYS[random.below(KEYS.len())].into()
}

fn leaf(random: &mut Random) -> Value {
    match random.below(6) {
        0 => Value::Integer(INTEGERS[random.below(INTEGERS.len())]),
        1 => Value::List(Vec::new()),
        2 => Value::Dictionary(Vec::new()),
        3 => Value::bytes(["p", "l", "x", "h", "lx", "1"][random.below(6)]),
        4 => Value::texts([NAMES[random.below(NAMES.len())], NAMES[random.below(NAMES.len())]]),
        _ => Value::bytes(NAMES[random.below(NAMES.len())]),
    }
}

/// Lists in lists, around the depth at which readers stop.
fn nested(random: &mut Random) -> Value {
    let depth = [90, 97, 98, 99, 100, 101, 102, 150][random.below(8)];
    Value::raw(["l".repeat(depth), "e".repeat(depth)].concat())
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Dictionary(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        Value::Bytes(_) | Value::Integer(_) | Value::Raw(_) => 0,
    }
}

/// The value at this position when all are counted from the outside in.
fn node(value: &mut Value, mut position: usize) -> Option<&mut Value> {
    if position == 0 {
        return Some(value);
    }
    position -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::List(items) => items.iter_mut().collect(),
        Value::Dictionary(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        Value::Bytes(_) | Value::Integer(_) | Value::Raw(_) => return None,
    };
    for value in inner {
        let len = count(value);
        if position < len {
            return node(value, position);
        }
        position -= len;
    }
    None
}

#[cfg(test)]
mod tests;
