use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{TestName, cells, list, mutation};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the root")
}

/// Whoever changes one of these lines changes the list with it, and looks whether the tests still notice.
#[test]
fn every_text_of_the_list_stands_in_its_file_once() {
    let mutations = list(root()).unwrap();
    assert!(mutations.len() >= 24, "the list has {} rows", mutations.len());
    for mutation in mutations {
        assert_eq!(mutation.count(root()).unwrap(), 1, "{mutation:?}");
        assert_ne!(mutation.from, mutation.to, "{mutation:?}");
    }
}

/// A test that was renamed does not run, so it would notice nothing.
#[test]
fn every_test_of_the_list_exists() {
    let mutations = list(root()).unwrap();
    let tests: BTreeSet<&TestName> = mutations
        .iter()
        .flat_map(|mutation| &mutation.caught_by)
        .collect();
    for test in tests {
        let name = test.path.rsplit("::").next().unwrap();
        let found = Command::new("git")
            .args([
                "grep",
                "--quiet",
                "--untracked",
                &format!("fn {name}("),
                "--",
                "*.rs",
            ])
            .current_dir(root())
            .status();
        assert!(found.unwrap().success(), "{test}");
    }
}

#[test]
fn a_row_names_what_is_broken_where_and_who_notices() {
    let row = r"| nobody waits | `a/b.rs` | `x \|\| y` | nothing | `shoal-shard --lib a::b`, `shoal-tests --test it c::d` |";
    let mutation = mutation(row).unwrap();
    assert_eq!(mutation.what, "nobody waits");
    assert_eq!(mutation.file, PathBuf::from("a/b.rs"));
    assert_eq!((mutation.from.as_str(), mutation.to.as_str()), ("x || y", ""));
    let tests: Vec<String> = mutation.caught_by.iter().map(TestName::to_string).collect();
    assert_eq!(tests, ["shoal-shard --lib a::b", "shoal-tests --test it c::d"]);
}

#[test]
fn what_is_no_row_has_no_cells() {
    assert!(cells("## Broken on purpose").is_empty());
    assert_eq!(mutation("| a | `b` | `c` | `d` | nobody |"), None);
}
