//! libtorrent and we decide about the same documents, and every difference has a reason.
//!
//! Documents are the corpora of the fuzz targets that read bencode and thousands of mutations of them, the same in every
//! run. Both sides say whether they accept, and what they read: a value of bencode as it is written again, a torrent's
//! info-hash, lengths and paths. A difference belongs to a class, and a class stands in [`DIFFERENCES`] with its reason
//! and an example, or the test fails. `tests/README.md` shows that table to people and is held equal to it.
//!
//! Not compared: trackers, texts and all else outside of `info`, which both read with tolerance; and which of two errors
//! somebody reports first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use shoal_proto::bencode::decode;
use shoal_tests::client::Client;
use shoal_tests::fuzz::{bencode_tree, mutation};
use shoal_tests::place::Place;
use shoal_tests::process::run;
use shoal_tests::random::Random;

mod class;
mod table;

use class::classes;
use table::DIFFERENCES;

/// Documents that are made from the corpus: what libtorrent reads in two seconds.
const MUTATIONS: usize = 12_000;

/// The corpora that are made of bencode.
const CORPORA: [&str; 3] = ["bencode", "extension", "metainfo"];

/// Documents of a class that are shown when it has no reason.
const SHOWN_MAX: usize = 3;

fn corpus() -> Vec<Vec<u8>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut paths: Vec<_> = CORPORA
        .iter()
        .flat_map(|name| fs::read_dir(fuzz.join(name)).expect("a corpus"))
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    paths.sort();
    let read = |path| fs::read(path).expect("a readable file");
    paths.iter().map(read).collect()
}

/// The corpus, and mutations of it: mostly of the tree, so that what surrounds a change stays right.
fn documents() -> Vec<Vec<u8>> {
    let mut documents = corpus();
    let seeds = documents.len();
    let mut random = Random::named("differential");
    for _ in 0..MUTATIONS {
        let seed = &documents[random.below(seeds)];
        let mutated = match decode(seed) {
            Ok(document) if random.below(4) > 0 => {
                let tree = mutation::of_document(&bencode_tree(document.root()), &mut random);
                mutation::with_fitting_hashes(tree).encode()
            }
            _ => mutation::of_bytes(seed, &mut random),
        };
        documents.push(mutated);
    }
    documents
}

/// What libtorrent says of each document, or nothing where it is not installed.
fn libtorrent(documents: &[Vec<u8>]) -> Option<Vec<Json>> {
    let mut client = Client::Libtorrent.find()?;
    let place = Place::new();
    let path = place.path().join("documents");
    let framed = |document: &Vec<u8>| [&(document.len() as u32).to_be_bytes(), document.as_slice()].concat();
    let framed: Vec<u8> = documents.iter().flat_map(framed).collect();
    fs::write(&path, framed).expect("a writable place");
    client
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/libtorrent_parse.py"))
        .arg(path);
    let finished = run(client);
    let lines = finished.stdout.iter();
    let told: Vec<_> = lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let complete = finished.status.success() && told.len() == documents.len();
    assert!(
        complete,
        "libtorrent stopped at {:?}: {:#?}",
        documents
            .get(told.len())
            .map(|document| document.escape_ascii().to_string()),
        finished.stderr
    );
    Some(told)
}

#[test]
fn every_difference_between_libtorrent_and_us_has_a_reason() {
    let documents = documents();
    let Some(told) = libtorrent(&documents) else {
        return;
    };
    let mut unexplained: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (document, told) in documents.iter().zip(&told) {
        for class in classes(document, told) {
            if !DIFFERENCES.iter().any(|known| known.class == class) {
                unexplained
                    .entry(class)
                    .or_default()
                    .push(document.escape_ascii().to_string());
            }
        }
    }
    for examples in unexplained.values_mut() {
        examples.sort_by_key(String::len);
        examples.truncate(SHOWN_MAX);
    }
    assert!(
        unexplained.is_empty(),
        "differences without a reason: {unexplained:#?}"
    );
}

#[test]
fn every_example_of_a_difference_shows_it() {
    let documents: Vec<_> = DIFFERENCES.iter().map(|known| known.example.document()).collect();
    let Some(told) = libtorrent(&documents) else {
        return;
    };
    for ((known, document), told) in DIFFERENCES.iter().zip(&documents).zip(&told) {
        let classes = classes(document, told);
        assert!(
            classes.iter().any(|class| class == known.class),
            "{}: {} shows {classes:?}",
            known.class,
            document.escape_ascii()
        );
    }
}

#[test]
fn the_table_for_people_is_the_one_that_is_tested() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("tests/README.md");
    let shown: Vec<_> = readme
        .lines()
        .skip_while(|line| *line != table::HEADING)
        .skip(2)
        .collect();
    let shown: Vec<_> = shown
        .into_iter()
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<_> = DIFFERENCES.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "the rows should be:\n{}\n", expected.join("\n"));
}
