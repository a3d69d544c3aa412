//! The rules of the tree that no compiler knows.
//!
//! Each test reads the files that git knows, or would take, and lists every offence with its place. What is asked for and
//! why is in `engine/README.md`; where a rule has an exception it stands here, beside the rule, with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod source;

use source::code_of;

/// Lines in one file; above, there is a second noun inside.
const FILE_LINES_MAX: usize = 800;

/// The crate that may say it, because it talks to the kernel.
const UNSAFE_HOME: &str = "engine/uring/";

/// The visible top of the tree; everything else there is a dotfile.
const ROOT: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "bench",
    "config.yaml",
    "engine",
    "tests",
    "tools",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the root")
}

/// Every file that git tracks or would add, relative to the root.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let listed = String::from_utf8(listed.stdout).expect("our paths are UTF-8");
    let paths: BTreeSet<_> = listed.split_terminator('\0').map(PathBuf::from).collect();
    // A file that is deleted but not yet committed is still listed.
    paths
        .into_iter()
        .filter(|path| root().join(path).exists())
        .collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let paths = files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths
        .map(|path| {
            (
                path.clone(),
                fs::read_to_string(root().join(&path)).expect("a source is UTF-8"),
            )
        })
        .collect()
}

fn assert_none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}

/// Every line of code, without comments and literals, that `is_offence` accepts.
fn offending_lines(is_offence: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut offences = Vec::new();
    for (path, source) in sources() {
        for (index, line) in code_of(&source).lines().enumerate() {
            if is_offence(&path, line) {
                offences.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    offences
}

#[test]
fn the_visible_root_is_as_drawn() {
    let visible: BTreeSet<_> = files()
        .iter()
        .filter_map(|path| path.iter().next()?.to_str().map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(visible, ROOT.map(str::to_owned).into());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = sources().into_iter().filter(|(path, source)| {
        !path.ends_with("tests.rs") && !source.starts_with("//! ") && !source.starts_with("#!/")
    });
    let silent: Vec<_> = silent.map(|(path, _)| path.display().to_string()).collect();
    assert_none("without a module doc", &silent);
}

#[test]
fn no_file_holds_two_nouns() {
    let long = sources()
        .into_iter()
        .filter(|(_, source)| source.lines().count() > FILE_LINES_MAX);
    let long: Vec<_> = long
        .map(|(path, source)| format!("{}: {}", path.display(), source.lines().count()))
        .collect();
    assert_none(&format!("more than {FILE_LINES_MAX} lines"), &long);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    let offences = offending_lines(|_, line| marks.iter().any(|mark| line.contains(mark)));
    assert_none("not finished", &offences);
}

#[test]
fn the_kernel_is_talked_to_in_one_crate() {
    let offences = offending_lines(|path, line| {
        !path.starts_with(UNSAFE_HOME) && words(line).any(|word| word == "unsafe" || word == "unsafe_code")
    });
    assert_none(&format!("unsafe outside {UNSAFE_HOME}"), &offences);
}

#[test]
fn what_a_crate_shows_is_listed() {
    let offences = offending_lines(|_, line| line.trim_start().starts_with("pub") && line.contains("::*"));
    assert_none("glob re-exports", &offences);
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
}

/// `engine/README.md` has a table `| crate | may depend on |` of our own crates; this is what cargo knows.
#[test]
fn crates_depend_on_each_other_as_drawn() {
    let readme = fs::read_to_string(root().join("engine/README.md")).expect("engine/README.md");
    let drawn = dependency_table(&readme);
    assert!(
        !drawn.is_empty(),
        "engine/README.md has no table `| crate | may depend on |`"
    );
    assert_eq!(
        dependencies(),
        drawn,
        "left: the Cargo.toml files; right: engine/README.md"
    );
}

/// The rows below the heading, each a crate in backticks and the crates it may use in backticks.
fn dependency_table(markdown: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut rows = markdown.lines().skip_while(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells != ["", "crate", "may depend on", ""]
    });
    rows.next();
    let rows = rows
        .take_while(|line| line.starts_with('|'))
        .filter(|line| line.contains('`'));
    rows.map(|row| {
        let mut names = row.split('`').skip(1).step_by(2).map(str::to_owned);
        (
            names.next().expect("a row with a backtick names a crate"),
            names.collect(),
        )
    })
    .collect()
}

/// Which of our crates each of our crates is built from; what only its tests use does not count.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let name_of = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<_> = packages.iter().map(name_of).collect();
    let built_from = |package: &serde_json::Value| {
        let all = package["dependencies"]
            .as_array()
            .expect("a list of dependencies");
        let built = all.iter().filter(|dependency| dependency["kind"].is_null());
        built.map(name_of).filter(|name| ours.contains(name)).collect()
    };
    packages
        .iter()
        .map(|package| (name_of(package), built_from(package)))
        .collect()
}

#[test]
fn every_test_vector_says_where_it_is_from() {
    // A directory of vectors has a README.md that names each of its files, with the origin.
    let mut offences = Vec::new();
    for path in files() {
        let Some(directory) = path.ancestors().find(|ancestor| ancestor.ends_with("vectors")) else {
            continue;
        };
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("our paths are UTF-8");
        let readme = fs::read_to_string(root().join(directory).join("README.md")).unwrap_or_default();
        if name != "README.md" && !readme.contains(&format!("`{name}`")) {
            offences.push(path.display().to_string());
        }
    }
    assert_none("vectors that the README.md beside them does not name", &offences);
}
