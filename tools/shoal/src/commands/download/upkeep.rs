//! The file beside a download that remembers what is there, and the folders that both are in.
//!
//! The state of each download is a file of its own, so that two of them in one folder do not wait for each other.

use crate::failure::Failure;
use shoal::printable::PrintablePath;
use shoal::state::Store;
use shoal_proto::metainfo::Metainfo;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The durable state of one download.
#[derive(Debug)]
pub(super) struct State {
    pub(super) path: PathBuf,
    pub(super) store: Arc<Store>,
    /// It was made now.
    is_new: bool,
    /// Folders that were made now, those within others first.
    new_folders: Vec<PathBuf>,
}

impl State {
    /// Opens it in this folder, and makes folder and file if they are missing.
    pub(super) fn open(out: &Path, folder: &Path, metainfo: &Metainfo) -> Result<State, Failure> {
        let mut new_folders = make_folder("--out", out)?;
        new_folders.extend(make_folder("--state", folder)?);
        let path = folder.join(format!(".shoal-{}.state", metainfo.info_hash()));
        let is_new = !path.exists();
        let store = Arc::new(Store::open(&path)?);
        Ok(State {
            path,
            store,
            is_new,
            new_folders,
        })
    }

    /// Removes it: the data say everything that is worth knowing.
    pub(super) fn forget(&self) {
        // What stays behind is a small file that is believed only as far as it is right.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes it, and folders that were made for it, if nothing was learned.
    pub(super) fn forget_if_new(&self) {
        if self.is_new {
            self.forget();
            // One with something in it stays.
            for folder in &self.new_folders {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Makes a folder with those above it; returns those that were missing.
fn make_folder(option: &str, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let missing = missing.map(Path::to_owned).collect();
    match fs::create_dir_all(folder) {
        Ok(()) => Ok(missing),
        Err(error) => Err(match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Failure::bad_file(
                folder,
                format!("not a folder; {option} is where files are written to"),
            ),
            _ => Failure::refused(format!("{}: cannot be made: {error}", PrintablePath(folder))),
        }),
    }
}
