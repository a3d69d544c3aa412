//! In which ways two readings of one document differ.
//!
//! A class is a short text: who accepts, and our own name for what one of the two objects to. It says nothing about the
//! document otherwise, so that thousands of documents fall into a few dozens of classes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde_json::Value as Json;
use shoal_proto::bencode::decode;
use shoal_proto::metainfo::{Caution, File, FileKind, Metainfo, MetainfoError, Problem};
use shoal_tests::bencode::Value;
use shoal_tests::fuzz::bencode_tree;

/// Characters that libtorrent takes out of names, beside those for which we refuse.
const MARKS: [char; 4] = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{feff}'];

/// What keys end in whose value is UTF-8 for sure.
const VARIANT: &[u8] = b".utf-8";

/// The version 1 info-hash of a torrent that has none.
const NO_HASH: &str = "0000000000000000000000000000000000000000";

/// Bytes of a name that libtorrent keeps; an extension may take the place of the last of them.
const KEPT_LEN: usize = 240;

/// The classes of difference between our reading and what libtorrent said.
pub(super) fn classes(document: &[u8], told: &Json) -> BTreeSet<String> {
    let mut classes = of_torrent(document, &told["torrent"]);
    classes.extend(of_bencode(document, &told["bencode"]));
    classes
}

fn of_bencode(document: &[u8], theirs: &Json) -> Option<String> {
    match (decode(document), theirs["error"].as_str()) {
        (Err(_), Some(_)) => None,
        (Err(error), None) => Some(format!("refused: bencode: {}", variant(&error.problem))),
        (Ok(_), Some(error)) => Some(format!("accepted: {}", message(error))),
        (Ok(document), None) => {
            let tree = bencode_tree(document.root());
            let same = |counts| theirs["value"] == hex(&canonical(&tree, counts).encode());
            match () {
                () if same(Counts::First) => None,
                () if same(Counts::Last) => Some("read: of equal keys the last".to_owned()),
                () => Some("read: another value".to_owned()),
            }
        }
    }
}

fn of_torrent(document: &[u8], theirs: &Json) -> BTreeSet<String> {
    let class = match (Metainfo::parse(document), theirs["error"].as_str()) {
        (Err(_), Some(_)) => return BTreeSet::new(),
        (Ok(ours), None) => return of_reading(&ours, document, theirs),
        (Err(MetainfoError::Version2Only), None) => "refused: version 1 half".to_owned(),
        (Err(_), None) if theirs["info_hash"] == NO_HASH => "refused: version 1 half".to_owned(),
        (Err(error), None) => format!("refused: {}", objection(&error)),
        (Ok(ours), Some(_)) if ours.cautions().contains(&Caution::Hybrid) => {
            "accepted: version 2 half".to_owned()
        }
        (Ok(_), Some(error)) => format!("accepted: {}", message(error)),
    };
    BTreeSet::from([class])
}

/// How two readings of an accepted torrent differ.
fn of_reading(ours: &Metainfo, document: &[u8], theirs: &Json) -> BTreeSet<String> {
    let files = theirs["files"].as_array().expect("a list of files");
    let (layout, pairs) = (ours.layout(), || ours.files().iter().zip(files));
    let same_len = |(file, theirs): (&File, &Json)| theirs["length"] == file.len;
    let same_padding = |(file, theirs): (&File, &Json)| theirs["padding"] == is_padding(file);
    let facts = [
        ("info-hash", theirs["info_hash"] == ours.info_hash().to_string()),
        ("piece length", theirs["piece_length"] == layout.piece_length()),
        ("pieces", theirs["pieces"] == layout.pieces()),
        ("private", theirs["private"] == ours.is_private()),
        ("files", files.len() == ours.files().len()),
        ("length", pairs().all(same_len)),
        ("padding", pairs().all(same_padding)),
    ];
    let different = facts.into_iter().filter(|(_, same)| !same);
    let mut classes: BTreeSet<_> = different.map(|(fact, _)| format!("read: {fact}")).collect();

    let on_disk: Vec<_> = pairs().filter(|(file, _)| !is_padding(file)).collect();
    let paths = on_disk
        .iter()
        .flat_map(|(file, theirs)| of_paths(file, text(&theirs["path"])));
    let has_variant = document.windows(VARIANT.len()).any(|window| window == VARIANT);
    classes.extend(paths.map(|cause| match cause {
        "read: path" if has_variant => "read: path: `utf-8` variant".to_owned(),
        cause => cause.to_owned(),
    }));
    // A link to what stands elsewhere leads elsewhere.
    if classes.iter().all(|class| !class.starts_with("read: path")) && !on_disk.into_iter().all(same_target) {
        classes.insert("read: symlink path".to_owned());
    }
    classes
}

fn is_padding(file: &File) -> bool {
    file.kind == FileKind::Padding
}

fn same_target((file, theirs): (&File, &Json)) -> bool {
    match &file.kind {
        FileKind::Symlink { target } => text(&theirs["symlink"]) == target.as_str(),
        FileKind::Regular(_) | FileKind::Padding => theirs["symlink"].is_null(),
    }
}

/// Why libtorrent puts a file elsewhere, looked for in the two paths alone.
fn of_paths(file: &File, theirs: &str) -> Vec<&'static str> {
    let ours = file.path.as_str();
    if ours == theirs {
        return Vec::new();
    }
    let mut causes = Vec::new();
    let unmarked = ours.replace(MARKS, "");
    causes.extend((unmarked != ours).then_some("read: path: mark"));
    let mut ours: Vec<_> = unmarked
        .split('/')
        .map(|name| if name.is_empty() { "_" } else { name })
        .collect();
    let mut theirs: Vec<_> = theirs.split('/').collect();
    if theirs.len() > ours.len() {
        causes.push("read: path: empty or `.`");
        let mut expected = ours.iter().peekable();
        theirs.retain(|name| expected.next_if(|expected| *expected == name).is_some() || *name != "_");
    }
    if ours.iter().any(|name| name.len() > KEPT_LEN) {
        causes.push("read: path: long name");
        for name in ours.iter_mut().chain(&mut theirs) {
            *name = front(name);
        }
    }
    let (ours, theirs) = (ours.join("/"), theirs.join("/"));
    causes.extend((theirs != ours).then_some(match is_renamed(&ours, &theirs) {
        true => "read: path: namesake",
        false => "read: path",
    }));
    causes
}

/// So many characters of a name that both keep them.
fn front(name: &str) -> &str {
    let end = name.char_indices().nth(KEPT_LEN / 4);
    end.map_or(name, |(end, _)| &name[..end])
}

/// Whether `theirs` is `ours` with a number put into its last name.
fn is_renamed(ours: &str, theirs: &str) -> bool {
    let numbered = |number: u32| theirs.replacen(&format!(".{number}"), "", 1);
    (1..10).any(|number| numbered(number) == ours)
}

/// Which of equal keys counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    First,
    Last,
}

/// The value with sorted keys, each once.
fn canonical(value: &Value, counts: Counts) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(|item| canonical(item, counts)).collect()),
        Value::Dictionary(entries) => {
            let mut sorted = BTreeMap::new();
            for (key, value) in entries {
                if counts == Counts::Last || !sorted.contains_key(key) {
                    sorted.insert(key.clone(), canonical(value, counts));
                }
            }
            Value::Dictionary(sorted.into_iter().collect())
        }
        Value::Bytes(_) | Value::Integer(_) | Value::Raw(_) => value.clone(),
    }
}

/// What we object to: the problem, and its key unless that makes no difference.
fn objection(error: &MetainfoError) -> String {
    match error {
        MetainfoError::Bencode(error) => format!("bencode: {}", variant(&error.problem)),
        MetainfoError::Entry { place, problem } => match problem {
            Problem::Path(problem) => format!("path: {}", variant(problem)),
            Problem::Layout(problem) => format!("layout: {}", variant(problem)),
            _ => format!("{}: {}", place.key, variant(problem)),
        },
        MetainfoError::TooLong { .. } | MetainfoError::NotADictionary | MetainfoError::Version2Only => {
            variant(error)
        }
    }
}

/// The name of an error's variant, without what it holds.
fn variant(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let name = text.split([' ', '{']).next().unwrap_or_default();
    name.to_owned()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

/// libtorrent's sentence without the number behind it.
fn message(error: &str) -> &str {
    error.split(" [").next().unwrap_or(error)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
