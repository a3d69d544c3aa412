use super::{Content, CreateError, Hidden, Tree};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// A folder `T` with these files, each holding its own path.
fn folder(files: &[&str]) -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("T")).expect("a directory");
    for file in files {
        write(&place.path().join("T").join(file), file.as_bytes());
    }
    place
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("a directory");
    fs::write(path, bytes).expect("a file");
}

fn walk(place: &TempDir, hidden: Hidden) -> Result<Tree, CreateError> {
    Tree::walk(&place.path().join("T"), hidden, &place.path().join("T/T.torrent"))
}

/// Checks that walking `T` finds exactly these files in this order.
fn check(place: &TempDir, hidden: Hidden, expected: &[&str]) {
    let tree = walk(place, hidden).expect("a tree");
    let Content::Folder(files) = tree.content else {
        panic!("T is a folder")
    };
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, expected);
}

#[test]
fn files_are_ordered_by_the_bytes_of_their_whole_path() {
    // The order that mktorrent 1.1 gives the same folder.
    let expected = [
        ".hid/f",
        ".hidden",
        "10",
        "9",
        "Aa",
        "B/q",
        "a b/x",
        "a-1",
        "a.txt",
        "a/x",
        "aB",
        "b",
        "z/y/deep",
        "ünï cöde",
    ];
    let mut written = expected;
    written.reverse();
    check(&folder(&written), Hidden::Take, &expected);
}

#[test]
fn hidden_files_can_be_left_out_with_all_below_them() {
    let place = folder(&[".git/config", "a/.env", "a/x", ".hidden", "b"]);
    check(&place, Hidden::LeaveOut, &["a/x", "b"]);
}

#[test]
fn empty_files_count_and_empty_folders_do_not() {
    let place = folder(&["b"]);
    write(&place.path().join("T/a"), b"");
    fs::create_dir_all(place.path().join("T/nothing/at all")).expect("directories");
    check(&place, Hidden::Take, &["a", "b"]);
}

#[test]
fn the_torrent_itself_is_never_part_of_the_tree() {
    check(
        &folder(&["a", "T.torrent", "sub/T.torrent"]),
        Hidden::Take,
        &["a", "sub/T.torrent"],
    );
}

#[test]
fn links_are_followed_to_files_and_folders() {
    let place = folder(&["a/x"]);
    write(&place.path().join("outside"), b"12345");
    symlink("../outside", place.path().join("T/file")).expect("a link");
    symlink("a", place.path().join("T/dir")).expect("a link");
    check(&place, Hidden::Take, &["a/x", "dir/x", "file"]);
    assert_eq!(walk(&place, Hidden::Take).expect("a tree").total_len(), 3 + 3 + 5);
}

#[test]
fn links_that_lead_nowhere_or_around_in_circles_are_errors() {
    let place = folder(&["a/x"]);
    symlink("nowhere", place.path().join("T/dangling")).expect("a link");
    assert!(
        matches!(walk(&place, Hidden::Take), Err(CreateError::Unreadable { path, .. }) if path.ends_with("T/dangling"))
    );
    fs::remove_file(place.path().join("T/dangling")).expect("a link");
    symlink("..", place.path().join("T/a/up")).expect("a link");
    assert!(
        matches!(walk(&place, Hidden::Take), Err(CreateError::Loop { path }) if path.ends_with("T/a/up"))
    );
}

#[test]
fn a_socket_in_the_folder_is_an_error() {
    let place = folder(&["a"]);
    let socket = place.path().join("T/socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    assert!(matches!(walk(&place, Hidden::Take), Err(CreateError::Special { path }) if path == socket));
}

#[test]
fn names_that_are_not_utf8_are_errors() {
    let place = folder(&["a"]);
    let odd = place.path().join("T").join(OsStr::from_bytes(b"gr\xfc\xdfe"));
    write(&odd, b"x");
    assert!(matches!(walk(&place, Hidden::Take), Err(CreateError::NameNotUtf8 { path }) if path == odd));
}

#[test]
fn a_tree_without_a_byte_is_no_torrent() {
    let place = folder(&[]);
    assert!(matches!(
        walk(&place, Hidden::Take),
        Err(CreateError::NoData { .. })
    ));
    write(&place.path().join("T/empty"), b"");
    assert!(matches!(
        walk(&place, Hidden::Take),
        Err(CreateError::NoData { .. })
    ));
    let file = place.path().join("T/empty");
    assert!(matches!(
        Tree::walk(&file, Hidden::Take, Path::new("x")),
        Err(CreateError::NoData { .. })
    ));
}

#[test]
fn a_path_without_a_last_name_is_resolved_to_one() {
    let place = folder(&["a/x"]);
    let root = fs::canonicalize(place.path()).expect("it exists");
    let tree = Tree::walk(&root.join("T/a/.."), Hidden::Take, Path::new("x")).expect("a tree");
    assert_eq!((tree.name.as_str(), tree.parent.as_path()), ("T", root.as_path()));
    let single = Tree::walk(&root.join("T/a/x"), Hidden::Take, Path::new("x")).expect("a tree");
    assert_eq!((single.name.as_str(), single.content), ("x", Content::File(3)));
    assert_eq!(single.parent, root.join("T/a"));
}

#[test]
fn folders_deeper_than_a_torrent_may_have_are_an_error() {
    let place = folder(&[]);
    write(&place.path().join("T").join("d/".repeat(100)).join("x"), b"x");
    assert!(matches!(
        walk(&place, Hidden::Take),
        Err(CreateError::TooDeep { .. })
    ));
}
