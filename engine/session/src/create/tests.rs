use super::{CreateError, Details, Hidden, Plan, Tree};
use shoal_proto::metainfo::Metainfo;
use shoal_uring::scan;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn folder(files: &[(&str, usize)]) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("T");
    fs::create_dir(&root).expect("a directory");
    for (path, len) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("a directory");
        fs::write(&path, vec![b'x'; *len]).expect("a file");
    }
    (place, root)
}

fn plan(root: &Path, details: Details) -> Result<Plan, CreateError> {
    Plan::new(Tree::walk(root, Hidden::Take, Path::new("x"))?, details)
}

fn hash(plan: &Plan) -> Result<Metainfo, CreateError> {
    let created = plan.hash(&scan::Options::default(), &|_| ControlFlow::Continue(()))?;
    assert_eq!(created.stamps.len(), created.built.metainfo.files().len());
    assert!(
        created.stamps.iter().all(Option::is_some),
        "every file has its stamp"
    );
    Ok(created.built.metainfo)
}

#[test]
fn a_folder_becomes_a_torrent_of_its_files() {
    let (_place, root) = folder(&[("b/x", 40_000), ("a", 3), ("empty", 0)]);
    let details = Details {
        piece_length: Some(32 * 1024),
        trackers: vec![
            "http://one.example/announce".to_owned(),
            "udp://two.example:6969".to_owned(),
        ],
        web_seeds: vec!["https://mirror.example/".to_owned()],
        private: true,
        comment: Some("seven".to_owned()),
        creation_date_s: Some(7),
    };
    let metainfo = hash(&plan(&root, details).expect("a plan")).expect("a torrent");
    let paths: Vec<&str> = metainfo.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["T/a", "T/b/x", "T/empty"]);
    assert_eq!(
        (metainfo.layout().pieces(), metainfo.layout().piece_length()),
        (2, 32 * 1024)
    );
    assert_eq!(
        metainfo.trackers(),
        [["http://one.example/announce"], ["udp://two.example:6969"]],
        "each tracker is a tier of its own"
    );
    assert_eq!(metainfo.web_seeds(), ["https://mirror.example/"]);
    assert!(metainfo.is_private());
    assert_eq!(
        (metainfo.comment(), metainfo.creation_date_s()),
        (Some("seven"), Some(7))
    );
    assert_eq!(
        metainfo.created_by(),
        Some(concat!("shoal/", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn the_info_hash_is_that_of_mktorrent() {
    // `printf abc > T/a; printf defg > T/b; mktorrent -l 15 T`, mktorrent 1.1.
    let (_place, root) = folder(&[]);
    fs::write(root.join("a"), "abc").expect("a file");
    fs::write(root.join("b"), "defg").expect("a file");
    let details = Details {
        piece_length: Some(32 * 1024),
        ..Details::default()
    };
    let metainfo = hash(&plan(&root, details).expect("a plan")).expect("a torrent");
    assert_eq!(
        metainfo.info_hash().to_string(),
        "e1d128fe03ac4515dcded325eee2698caf3e265b"
    );
}

#[test]
fn a_torrent_describes_its_own_tree_and_no_other() {
    let (_place, root) = folder(&[("a", 3), ("b", 4)]);
    let metainfo = hash(&plan(&root, Details::default()).expect("a plan")).expect("a torrent");
    let walk = || Tree::walk(&root, Hidden::Take, Path::new("x")).expect("a tree");
    assert!(walk().is_described_by(&metainfo));
    fs::write(root.join("b"), "xxxxx").expect("a file");
    assert!(!walk().is_described_by(&metainfo), "a length differs");
    fs::rename(root.join("b"), root.join("c")).expect("a file");
    assert!(!walk().is_described_by(&metainfo), "a name differs");
}

#[test]
fn what_no_torrent_may_have_is_refused_before_hashing() {
    let (_place, root) = folder(&[("fine", 3)]);
    let refused = |details: Details| plan(&root, details).expect_err("refused");
    let tracker = refused(Details {
        trackers: vec!["example.org/announce".to_owned()],
        ..Details::default()
    });
    assert!(matches!(tracker, CreateError::TrackerAddress), "{tracker}");
    let web_seed = refused(Details {
        web_seeds: vec!["ftp://example.org/".to_owned()],
        ..Details::default()
    });
    assert!(matches!(web_seed, CreateError::WebSeedAddress), "{web_seed}");
}

#[test]
fn a_name_that_cannot_stand_in_a_torrent_is_refused_by_its_path() {
    let (_place, root) = folder(&[("fine", 3), ("sub/new\nline", 3)]);
    let error = plan(&root, Details::default()).expect_err("refused");
    let expected = format!(
        "{}/sub/new\u{fffd}line: its path holds the control character U+000A; rename it",
        root.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_that_changed_since_the_walk_is_an_error() {
    let (_place, root) = folder(&[("a", 3), ("b", 40_000)]);
    let plan = plan(&root, Details::default()).expect("a plan");
    fs::write(root.join("b"), vec![b'y'; 40_001]).expect("a file");
    assert!(
        matches!(hash(&plan), Err(CreateError::Changed { path }) if path == root.join("b")),
        "it grew"
    );
    fs::write(root.join("b"), "y").expect("a file");
    assert!(
        matches!(hash(&plan), Err(CreateError::Changed { .. })),
        "it shrank"
    );
    fs::remove_file(root.join("b")).expect("a file");
    assert!(
        matches!(hash(&plan), Err(CreateError::Changed { .. })),
        "it is gone"
    );
}

#[test]
fn the_watcher_can_break_off() {
    let (_place, root) = folder(&[("a", 3_000_000)]);
    let plan = plan(&root, Details::default()).expect("a plan");
    let broken = plan.hash(&scan::Options::default(), &|_| ControlFlow::Break(()));
    assert!(matches!(broken, Err(CreateError::Cancelled(_))));
}
