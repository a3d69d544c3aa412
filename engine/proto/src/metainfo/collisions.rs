//! Files that would be in each other's way, found by sorting paths.

use super::error::{Context, MetainfoError, Place, Problem};
use super::{Caution, File, FileKind, TorrentPath};
use crate::layout::{FileIndex, Layout};
use crate::limits::SYMLINK_HOPS_MAX;

/// Refuses files that share a path, files below files, and links that lead nowhere. Returns a caution about
/// paths that differ in case only, if there are such.
pub(super) fn check(files: &[File], layout: &Layout) -> Result<Option<Caution>, MetainfoError> {
    let on_disk = OnDisk::new(files, layout);
    on_disk.check_paths()?;
    on_disk.check_links()?;
    Ok(on_disk.case_twins())
}

/// The files that will be on disk, so sorted that a folder's contents stand together.
struct OnDisk<'f>(Vec<(&'f File, FileIndex)>);

impl<'f> OnDisk<'f> {
    fn new(files: &'f [File], layout: &Layout) -> OnDisk<'f> {
        let indices = layout.files().map(|(index, _)| index);
        let mut sorted: Vec<_> = files.iter().zip(indices).collect();
        sorted.retain(|(file, _)| file.kind != FileKind::Padding);
        // The sort is stable, so of equal paths the file that comes first stays first.
        sorted.sort_by(|(first, _), (second, _)| sort_key(&first.path).cmp(sort_key(&second.path)));
        OnDisk(sorted)
    }

    /// Sorting puts a path right before what is below it, so comparing neighbours is enough.
    fn check_paths(&self) -> Result<(), MetainfoError> {
        for neighbours in self.0.windows(2) {
            let [(before, other), (file, index)] = neighbours else {
                unreachable!("windows of two")
            };
            let other = other.get();
            if before.path == file.path {
                return Err(refuse(*index, "path", Problem::SamePath { other }));
            }
            if before.path.contains(&file.path) {
                return Err(refuse(*index, "path", Problem::ThroughFile { other }));
            }
        }
        Ok(())
    }

    fn check_links(&self) -> Result<(), MetainfoError> {
        for (file, index) in &self.0 {
            if let FileKind::Symlink { target } = &file.kind
                && !self.leads_somewhere(&file.path, target)
            {
                return Err(refuse(*index, "symlink path", Problem::SymlinkTarget));
            }
        }
        Ok(())
    }

    /// Whether a link, and the links it leads to, end at a regular file, or at a folder that has something in
    /// it and not the link. A path through a link is in no list of files, so it leads nowhere.
    fn leads_somewhere(&self, link: &TorrentPath, target: &'f TorrentPath) -> bool {
        let mut target = target;
        for _ in 0..SYMLINK_HOPS_MAX {
            let at = self
                .0
                .partition_point(|(file, _)| sort_key(&file.path).lt(sort_key(target)));
            let Some((file, _)) = self.0.get(at).filter(|(file, _)| target.contains(&file.path)) else {
                return false;
            };
            match &file.kind {
                _ if target.contains(link) => return false,
                FileKind::Symlink { target: next } if file.path == *target => target = next,
                _ => return true,
            }
        }
        false
    }

    fn case_twins(&self) -> Option<Caution> {
        let folded = self
            .0
            .iter()
            .map(|(file, index)| (file.path.as_str().to_lowercase(), *index));
        let mut folded: Vec<(String, FileIndex)> = folded.collect();
        folded.sort();
        let mut neighbours = folded.windows(2);
        let twins = neighbours.find(|neighbours| neighbours[0].0 == neighbours[1].0)?;
        let (first, second) = (twins[0].1, twins[1].1);
        Some(Caution::CaseTwins { first, second })
    }
}

/// The path's bytes with the separator below all others, which it is: names have no control characters.
fn sort_key(path: &TorrentPath) -> impl Iterator<Item = u8> {
    let bytes = path.as_str().bytes();
    bytes.map(|byte| if byte == b'/' { 0 } else { byte })
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
