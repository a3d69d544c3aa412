//! Files that would be in each other's way, found by sorting paths.

use super::error::{Context, MetainfoError, Place, Problem};
use super::{Caution, File, FileKind, TorrentPath};
use crate::layout::{FileIndex, Layout};

/// Refuses files that share a path, files below files, and links that lead nowhere. Returns a caution about paths that
/// differ in case only, if there are such.
pub(super) fn check(files: &[File], layout: &Layout) -> Result<Option<Caution>, MetainfoError> {
    let sorted = sorted_paths(files, layout);
    for neighbours in sorted.windows(2) {
        let [(before, other), (path, index)] = neighbours else {
            unreachable!("windows of two")
        };
        // Sorting puts a path right before what is below it, so neighbours are enough.
        if before == path {
            return Err(refuse(*index, "path", Problem::SamePath { other: other.get() }));
        }
        if before.contains(path) {
            return Err(refuse(
                *index,
                "path",
                Problem::ThroughFile { other: other.get() },
            ));
        }
    }
    for (link, index) in &sorted {
        if let FileKind::Symlink { target } = &files[index.index()].kind
            && !leads_somewhere(link, target, files, &sorted)
        {
            return Err(refuse(*index, "symlink path", Problem::SymlinkTarget));
        }
    }
    Ok(case_twins(&sorted))
}

/// Paths that will be on disk, with their files, so sorted that a folder's contents stand together.
fn sorted_paths<'f>(files: &'f [File], layout: &Layout) -> Vec<(&'f TorrentPath, FileIndex)> {
    let on_disk = files
        .iter()
        .zip(layout.files())
        .filter(|(file, _)| file.kind != FileKind::Padding);
    let mut paths: Vec<_> = on_disk.map(|(file, (index, _))| (&file.path, index)).collect();
    paths.sort_by(|(first, a), (second, b)| sort_key(first).cmp(sort_key(second)).then(a.cmp(b)));
    paths
}

/// The path's bytes with the separator below all others, which it is: names have no control characters.
fn sort_key(path: &TorrentPath) -> impl Iterator<Item = u8> {
    path.as_str()
        .bytes()
        .map(|byte| if byte == b'/' { 0 } else { byte })
}

/// A link may lead to a regular file, or to a folder with something in it that the link is not inside of. Links to
/// links are refused, so there are no loops. A path through a link exists nowhere in the list.
fn leads_somewhere(
    link: &TorrentPath,
    target: &TorrentPath,
    files: &[File],
    sorted: &[(&TorrentPath, FileIndex)],
) -> bool {
    let at = sorted.partition_point(|(path, _)| sort_key(path).lt(sort_key(target)));
    let Some((path, index)) = sorted.get(at) else {
        return false;
    };
    let is_file = *path == target;
    let is_link = is_file && matches!(files[index.index()].kind, FileKind::Symlink { .. });
    target.contains(path) && !is_link && !target.contains(link)
}

fn case_twins(sorted: &[(&TorrentPath, FileIndex)]) -> Option<Caution> {
    let folded = sorted
        .iter()
        .map(|(path, index)| (path.as_str().to_lowercase(), *index));
    let mut folded: Vec<(String, FileIndex)> = folded.collect();
    folded.sort();
    let twins = folded
        .windows(2)
        .find(|neighbours| neighbours[0].0 == neighbours[1].0)?;
    Some(Caution::CaseTwins {
        first: twins[0].1,
        second: twins[1].1,
    })
}

fn refuse(index: FileIndex, key: &'static str, problem: Problem) -> MetainfoError {
    MetainfoError::Entry {
        place: Place {
            context: Context::File(index.get()),
            key,
        },
        problem,
    }
}
