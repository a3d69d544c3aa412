use super::{Stored, is_same_torrent, store};
use crate::create::CreateError;
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Attributes, Built, Content, MetainfoBuilder};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn built(change: impl FnOnce(&mut MetainfoBuilder)) -> Built {
    let content = Content::File {
        len: 3,
        attributes: Attributes::default(),
    };
    let mut builder = MetainfoBuilder::new("x", content, 16 * 1024);
    change(&mut builder);
    builder.build(&[Digest::Sha1([7; 20])]).expect("a torrent")
}

#[test]
fn a_torrent_is_written_whole_and_readable() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("x.torrent");
    let built = built(|_| {});
    assert_eq!(store(&output, &built).expect("written"), Stored::Written);
    assert_eq!(fs::read(&output).expect("a file"), built.bytes);
    let mode = output.metadata().expect("a file").permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
    assert_eq!(
        fs::read_dir(place.path()).expect("a directory").count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn the_same_torrent_of_another_time_is_kept() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("x.torrent");
    let first = built(|builder| builder.creation_date_s = Some(1));
    store(&output, &first).expect("written");
    let second = built(|builder| {
        builder.creation_date_s = Some(2);
        builder.created_by = Some("another tool".to_owned());
    });
    assert_eq!(store(&output, &second).expect("kept"), Stored::Kept);
    assert_eq!(fs::read(&output).expect("a file"), first.bytes);
}

#[test]
fn whatever_else_is_there_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("x.torrent");
    let check = |content: &[u8]| {
        fs::write(&output, content).expect("a file");
        assert!(
            matches!(store(&output, &built(|_| {})), Err(CreateError::Exists { path }) if path == output)
        );
        assert_eq!(fs::read(&output).expect("a file"), content);
    };
    check(b"");
    check(b"not a torrent");
    check(&built(|builder| builder.comment = Some("another".to_owned())).bytes);
    check(&built(|builder| builder.private = true).bytes);
}

#[test]
fn a_link_that_leads_nowhere_is_not_written_through() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("x.torrent");
    std::os::unix::fs::symlink("elsewhere", &output).expect("a link");
    assert!(matches!(
        store(&output, &built(|_| {})),
        Err(CreateError::Exists { .. })
    ));
    assert!(!place.path().join("elsewhere").exists());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let place = tempfile::tempdir().expect("a directory");
    let output = place.path().join("nowhere/x.torrent");
    let error = store(&output, &built(|_| {})).expect_err("no such folder");
    assert!(matches!(error, CreateError::Unwritable { path, .. } if path == output));
}

#[test]
fn torrents_are_the_same_when_only_date_and_tool_differ() {
    let plain = built(|_| {}).metainfo;
    let check = |change: fn(&mut MetainfoBuilder), expected: bool| {
        assert_eq!(is_same_torrent(&plain, &built(change).metainfo), expected);
    };
    check(|builder| builder.creation_date_s = Some(1), true);
    check(|builder| builder.created_by = Some("a tool".to_owned()), true);
    check(
        |builder| builder.trackers = vec![vec!["http://a.example/".to_owned()]],
        false,
    );
    check(
        |builder| builder.web_seeds = vec!["http://a.example/".to_owned()],
        false,
    );
    check(|builder| builder.comment = Some("c".to_owned()), false);
    check(|builder| builder.private = true, false);
}
