//! A temporary directory with data and .torrent files, as a person would lay them out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::target_directory;
use crate::sample::Sample;

/// A directory of its own for one test, removed with the value. Data stands in `data/`, metainfo beside it.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
}

impl Place {
    /// An empty place on the disk that holds the target directory: /tmp may be memory, where O_DIRECT and
    /// file times behave otherwise.
    ///
    /// # Panics
    /// If the directory cannot be made.
    #[expect(clippy::new_without_default, reason = "it does I/O")]
    pub fn new() -> Place {
        let parent = target_directory().join("tmp");
        fs::create_dir_all(&parent).expect("the target directory is writable");
        Place::below(&parent)
    }

    /// An empty place in another directory.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn below(parent: &Path) -> Place {
        let root = tempfile::Builder::new()
            .prefix("shoal-")
            .tempdir_in(parent)
            .expect("a temporary directory");
        fs::create_dir(root.path().join("data")).expect("a fresh directory is writable");
        Place { root }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Where the content is.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes the content and the metainfo of `sample`, and returns the path of the .torrent file.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn add(&self, sample: &Sample) -> PathBuf {
        sample.write(&self.data()).expect("the content can be written");
        self.add_metainfo(sample.name(), &sample.metainfo(None))
    }

    /// Writes `metainfo` as `NAME.torrent` and returns its path.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn add_metainfo(&self, name: &str, metainfo: &[u8]) -> PathBuf {
        let path = self.path().join(format!("{name}.torrent"));
        fs::write(&path, metainfo).expect("the metainfo can be written");
        path
    }

    /// Every path below the place, to see whether something was written.
    ///
    /// # Panics
    /// If a directory cannot be read.
    pub fn entries(&self) -> BTreeSet<PathBuf> {
        let mut entries = BTreeSet::new();
        let mut open = vec![self.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("a readable directory") {
                let entry = entry.expect("a readable entry");
                if entry.file_type().expect("a known type").is_dir() {
                    open.push(entry.path());
                }
                entries.insert(entry.path());
            }
        }
        entries
    }
}
