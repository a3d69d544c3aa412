//! What lies below a path, as the files of a torrent.
//!
//! The rules, which are those of the other tools where they agree, and the safer one where they do not:
//! - Order: by the bytes of the whole relative path, `/` included, as mktorrent does. The order decides the info-hash.
//! - Names that begin with a dot are files like others, as for mktorrent and libtorrent: a torrent is the folder. Who
//!   does not want to give `.git` or `.env` away says so ([`Hidden::LeaveOut`], what Transmission always does).
//! - Empty files are part of the torrent, empty folders are not: metainfo has no place for them.
//! - Symbolic links are followed, to files and to folders. One that points nowhere or to a folder around it is an error.
//! - Sockets, pipes and devices are errors: they have no content that could be given away, and leaving them out without
//!   a word would make a torrent that is not the folder.
//!
//! Nothing is opened here: lengths are those at the time of the walk, and hashing refuses files that changed since.

use super::CreateError;
use shoal_proto::limits::{FILES_MAX, PATH_DEPTH_MAX};
use shoal_proto::metainfo::{FileKind, Metainfo};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file or folder to be shared, walked and in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Name of the torrent: the last element of the path.
    pub name: String,
    /// The folder in which `name` stands; where a client would look for the data.
    pub parent: PathBuf,
    /// What is shared.
    pub content: Content,
}

/// The shape of what is shared: it decides the shape of the metainfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One file, of this length.
    File(u64),
    /// A folder with these files, in the order of the torrent.
    Folder(Vec<TreeFile>),
}

/// One file below the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    /// Its path below the folder, elements joined by `/`.
    pub path: String,
    /// Bytes.
    pub len: u64,
}

/// What of a folder to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// Names that begin with a dot are taken like all others.
    #[default]
    Take,
    /// They are left out, with all below them. The path itself may be hidden.
    LeaveOut,
}

impl Tree {
    /// Walks what lies at `path`. `output` is where the torrent will be written: a file there is never part of it.
    ///
    /// # Errors
    /// The first thing that cannot be part of a torrent.
    pub fn walk(path: &Path, hidden: Hidden, output: &Path) -> Result<Tree, CreateError> {
        let root = located(path)?;
        let metadata = metadata(&root)?;
        let name = root.file_name().ok_or_else(|| CreateError::NoName {
            path: path.to_owned(),
        })?;
        let name = name
            .to_str()
            .ok_or_else(|| CreateError::NameNotUtf8 { path: root.clone() })?
            .to_owned();
        let parent = root.parent().unwrap_or(Path::new("/")).to_owned();
        let mut tree = Tree {
            name,
            parent,
            content: Content::File(metadata.len()),
        };
        if metadata.is_dir() {
            let mut walk = Walk::new(hidden, output);
            walk.all(root.clone(), &metadata)?;
            walk.files.sort_unstable();
            tree.content = Content::Folder(walk.files);
        } else if !metadata.is_file() {
            return Err(CreateError::Special { path: root });
        }
        if tree.total_len() == 0 {
            return Err(CreateError::NoData { path: root });
        }
        Ok(tree)
    }

    /// Where each file is and how long it was, in the order of the torrent.
    #[must_use]
    pub fn paths(&self) -> Vec<(PathBuf, u64)> {
        let root = self.parent.join(&self.name);
        match &self.content {
            Content::File(len) => vec![(root, *len)],
            Content::Folder(files) => files
                .iter()
                .map(|file| (root.join(&file.path), file.len))
                .collect(),
        }
    }

    /// Whether a torrent is about exactly these files: the same name, paths and lengths in the same order.
    #[must_use]
    pub fn is_described_by(&self, metainfo: &Metainfo) -> bool {
        let theirs = metainfo
            .files()
            .iter()
            .map(|file| (self.parent.join(file.path.as_path()), file.len));
        let regular = metainfo
            .files()
            .iter()
            .all(|file| matches!(file.kind, FileKind::Regular(_)));
        regular && metainfo.name() == self.name && theirs.eq(self.paths())
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        match &self.content {
            Content::File(len) => *len,
            Content::Folder(files) => files.iter().map(|file| file.len).fold(0, u64::saturating_add),
        }
    }
}

/// A folder still to be read.
struct Folder {
    absolute: PathBuf,
    /// Path below the root with a `/` at its end; empty for the root.
    relative: String,
    /// Device and inode of the folder and of all around it.
    around: Vec<(u64, u64)>,
}

struct Walk {
    hidden: Hidden,
    /// Device and inode of the torrent that was made before.
    output: Option<(u64, u64)>,
    files: Vec<TreeFile>,
}

impl Walk {
    fn new(hidden: Hidden, output: &Path) -> Walk {
        Walk {
            hidden,
            output: fs::metadata(output).ok().as_ref().map(identity),
            files: Vec::new(),
        }
    }

    fn all(&mut self, root: PathBuf, metadata: &Metadata) -> Result<(), CreateError> {
        let mut pending = vec![Folder {
            absolute: root,
            relative: String::new(),
            around: vec![identity(metadata)],
        }];
        while let Some(folder) = pending.pop() {
            self.folder(&folder, &mut pending)?;
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Folder, pending: &mut Vec<Folder>) -> Result<(), CreateError> {
        let unreadable = |error| CreateError::Unreadable {
            path: folder.absolute.clone(),
            error,
        };
        for entry in fs::read_dir(&folder.absolute).map_err(unreadable)? {
            let absolute = entry.map_err(unreadable)?.path();
            let name = absolute.file_name().expect("an entry of a folder has a name");
            if name.as_encoded_bytes().starts_with(b".") && self.hidden == Hidden::LeaveOut {
                continue;
            }
            let Some(name) = name.to_str() else {
                return Err(CreateError::NameNotUtf8 { path: absolute });
            };
            let relative = format!("{}{name}", folder.relative);
            self.entry(absolute, relative, folder, pending)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        absolute: PathBuf,
        relative: String,
        folder: &Folder,
        pending: &mut Vec<Folder>,
    ) -> Result<(), CreateError> {
        let metadata = metadata(&absolute)?;
        if metadata.is_file() {
            let is_output = self.output == Some(identity(&metadata));
            return if is_output {
                Ok(())
            } else {
                self.file(relative, metadata.len())
            };
        }
        if !metadata.is_dir() {
            return Err(CreateError::Special { path: absolute });
        }
        let identity = identity(&metadata);
        if folder.around.contains(&identity) {
            return Err(CreateError::Loop { path: absolute });
        }
        // A file in it has the folders around, itself and its name as elements.
        if folder.around.len() + 2 > PATH_DEPTH_MAX {
            return Err(CreateError::TooDeep { path: absolute });
        }
        let mut around = folder.around.clone();
        around.push(identity);
        pending.push(Folder {
            absolute,
            relative: format!("{relative}/"),
            around,
        });
        Ok(())
    }

    fn file(&mut self, path: String, len: u64) -> Result<(), CreateError> {
        if self.files.len() == FILES_MAX {
            return Err(CreateError::TooManyFiles);
        }
        self.files.push(TreeFile { path, len });
        Ok(())
    }
}

/// The path made absolute, with a last element that is a name. Links in it stay: the name is the one that was typed.
fn located(path: &Path) -> Result<PathBuf, CreateError> {
    let unreadable = |error| CreateError::Unreadable {
        path: path.to_owned(),
        error,
    };
    match path.file_name() {
        Some(_) => std::path::absolute(path).map_err(unreadable),
        None => fs::canonicalize(path).map_err(unreadable),
    }
}

fn metadata(path: &Path) -> Result<Metadata, CreateError> {
    fs::metadata(path).map_err(|error| CreateError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests;
