//! The corpus of the fuzz targets, replayed: what was once worth keeping must hold in every run, on stable.
//!
//! Each body also sees cheap mutations of its corpus, the same ones in every run. That finds what a change breaks near
//! known inputs; what lies further away is for `tools/test.sh --long`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use shoal_proto::bencode::decode;
use shoal_tests::fuzz::{TARGETS, Target, bencode_tree, mutation};
use shoal_tests::random::Random;

/// Mutations that each body sees: a second or two for all of them together.
const MUTATIONS: usize = 20_000;

/// Bytes of the longest input that is mutated; the few longer ones would take most of the time.
const MUTATED_LEN_MAX: usize = 2_048;

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let names = entries.map(|entry| entry.expect("a readable entry").file_name().into_string());
    names.collect::<Result<_, _>>().expect("our paths are UTF-8")
}

/// The inputs of a target by name, in the order of names.
fn inputs(target: Target) -> Vec<(String, Vec<u8>)> {
    let directory = fuzz_directory().join("corpus").join(target.name);
    let read = |name: String| {
        let bytes = fs::read(directory.join(&name)).expect("a readable file");
        (name, bytes)
    };
    names(&directory).into_iter().map(read).collect()
}

/// Runs a body; when it panics, says with which bytes.
fn run(target: Target, name: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.body)(input))) {
        eprintln!("{}: {name}: {}", target.name, input.escape_ascii());
        resume_unwind(panic);
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus_and_the_other_way_round() {
    let expected: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let programs = names(&fuzz_directory().join("targets"));
    let programs = programs
        .iter()
        .map(|name| name.trim_end_matches(".rs").to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), expected, "tests/fuzz/targets");
    let mut corpora = names(&fuzz_directory().join("corpus"));
    assert!(corpora.remove("README.md"), "where the corpus is from");
    assert_eq!(corpora, expected, "tests/fuzz/corpus");
    let manifest = fs::read_to_string(fuzz_directory().join("Cargo.toml")).expect("a manifest");
    for name in &expected {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "tests/fuzz/Cargo.toml: {name}"
        );
    }
}

#[test]
fn what_the_corpus_holds_still_holds() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{}: no corpus", target.name);
        for (name, input) in inputs {
            run(target, &name, &input);
        }
    }
}

#[test]
fn what_is_near_the_corpus_holds_as_well() {
    for target in TARGETS {
        let mut random = Random::named(target.name);
        let mut inputs = inputs(target);
        inputs.retain(|(_, input)| input.len() <= MUTATED_LEN_MAX);
        for number in 0..MUTATIONS / target.cost {
            let (name, input) = &inputs[random.below(inputs.len())];
            run(
                target,
                &format!("mutation {number}, of {name}"),
                &mutated(input, &mut random),
            );
        }
    }
}

/// Half of what is bencode is changed as a tree, all else as bytes.
fn mutated(input: &[u8], random: &mut Random) -> Vec<u8> {
    match decode(input) {
        Ok(document) if random.below(2) == 0 => {
            mutation::of_document(&bencode_tree(document.root()), random).encode()
        }
        _ => mutation::of_bytes(input, random),
    }
}
