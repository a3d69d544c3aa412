//! Files that would be in each other's way, found by sorting paths.

use super::error::{Context, MetainfoError, Place, Problem};
use super::{File, FileKind, TorrentPath};

/// The numbers of two files that have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) first: u32,
    pub(super) second: u32,
}

/// Refuses files that share a path, files below files, and links that lead nowhere. Returns two files whose paths differ
/// in case only, if there are such.
pub(super) fn check(files: &[File]) -> Result<Option<Pair>, MetainfoError> {
    let sorted = sorted_paths(files);
    for neighbours in sorted.windows(2) {
        let [(before, other), (path, index)] = neighbours else {
            unreachable!("windows of two")
        };
        // Sorting puts a path right before what is below it, so neighbours are enough.
        if before == path {
            return refuse(*index, "path", Problem::SamePath { other: *other });
        }
        if before.contains(path) {
            return refuse(*index, "path", Problem::ThroughFile { other: *other });
        }
    }
    for (index, file) in (0..).zip(files) {
        if let FileKind::Symlink { target } = &file.kind
            && !leads_somewhere(&file.path, target, files, &sorted)
        {
            return refuse(index, "symlink path", Problem::SymlinkTarget);
        }
    }
    Ok(case_twins(&sorted))
}

/// Paths that will be on disk, with the file's number, so sorted that a folder's contents stand together.
fn sorted_paths(files: &[File]) -> Vec<(&TorrentPath, u32)> {
    let on_disk = files
        .iter()
        .zip(0..)
        .filter(|(file, _)| !matches!(file.kind, FileKind::Padding));
    let mut paths: Vec<(&TorrentPath, u32)> = on_disk.map(|(file, index)| (&file.path, index)).collect();
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
    sorted: &[(&TorrentPath, u32)],
) -> bool {
    let at = sorted.partition_point(|(path, _)| sort_key(path).lt(sort_key(target)));
    let Some((path, index)) = sorted.get(at) else {
        return false;
    };
    let is_file = *path == target;
    let is_link = is_file && matches!(files[*index as usize].kind, FileKind::Symlink { .. });
    target.contains(path) && !is_link && !target.contains(link)
}

fn case_twins(sorted: &[(&TorrentPath, u32)]) -> Option<Pair> {
    let mut folded: Vec<(String, u32)> = sorted
        .iter()
        .map(|(path, index)| (path.as_str().to_lowercase(), *index))
        .collect();
    folded.sort();
    let twins = folded
        .windows(2)
        .find(|neighbours| neighbours[0].0 == neighbours[1].0)?;
    Some(Pair {
        first: twins[0].1,
        second: twins[1].1,
    })
}

fn refuse<T>(index: u32, key: &'static str, problem: Problem) -> Result<T, MetainfoError> {
    Err(MetainfoError::Entry {
        place: Place {
            context: Context::File(index),
            key,
        },
        problem,
    })
}
