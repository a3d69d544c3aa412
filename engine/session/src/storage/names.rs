//! The names that files have while they are not whole.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use shoal_proto::limits::PATH_ELEMENT_LEN_MAX;
use shoal_proto::metainfo::{File, Metainfo};

/// What is behind the name of a file that is not whole.
const PART_SUFFIX: &str = ".part";

/// All names of a torrent, to keep a file out of the way of another.
pub(super) struct Names<'m> {
    taken: HashSet<&'m Path>,
}

impl<'m> Names<'m> {
    pub(super) fn new(metainfo: &'m Metainfo) -> Names<'m> {
        // Folders as well: a file `a.part/b` makes `a.part` one.
        let paths = metainfo.files().iter().map(|file| file.path.as_path());
        Names {
            taken: paths.flat_map(Path::ancestors).collect(),
        }
    }

    /// What the file is called while it is not whole, unless it must go by its own name.
    pub(super) fn part(&self, file: &File) -> Option<PathBuf> {
        let name = file.path.elements().next_back()?;
        if name.len() + PART_SUFFIX.len() > PATH_ELEMENT_LEN_MAX {
            return None;
        }
        let mut part = file.path.as_path().as_os_str().to_owned();
        part.push(PART_SUFFIX);
        let part = PathBuf::from(part);
        (!self.taken.contains(part.as_path())).then_some(part)
    }
}
