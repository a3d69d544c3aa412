//! What lies beside the data of a download: the file that remembers what is there, and names that are not final yet.
//!
//! The state of each download is a file of its own, so that two of them in one folder do not wait for each other.

use super::selection::Selection;
use crate::failure::Failure;
use shoal::printable::PrintablePath;
use shoal::state::Store;
use shoal::storage::{self, Place, Prepared};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::FileIndex;
use shoal_proto::metainfo::{FileKind, Metainfo};
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
}

impl State {
    /// Opens it in this folder, and makes folder and file if they are missing.
    pub(super) fn open(out: &Path, folder: &Path, metainfo: &Metainfo) -> Result<State, Failure> {
        make_folder("--out", out)?;
        make_folder("--state", folder)?;
        let path = folder.join(format!(".shoal-{}.state", metainfo.info_hash()));
        let is_new = !path.exists();
        let store = Arc::new(Store::open(&path)?);
        Ok(State { path, store, is_new })
    }

    /// Removes it: the data say everything that is worth knowing.
    pub(super) fn forget(&self) {
        // What stays behind is a small file that is believed only as far as it is right.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes it if nothing was learned.
    pub(super) fn forget_if_new(&self) {
        if self.is_new {
            self.forget();
        }
    }

    /// Whether a file of the selection still has a name with `.part` behind it.
    pub(super) fn unnamed(
        &self,
        metainfo: &Metainfo,
        place: &Place,
        selection: &Selection,
    ) -> Result<bool, Failure> {
        let prepared = prepare(metainfo, place, selection)?;
        let files = metainfo.files().iter().zip(&prepared.paths).enumerate();
        let mut unnamed = files.filter(|(index, (file, path))| {
            let on_disk = matches!(file.kind, FileKind::Regular(_)) && selection.wants(*index);
            on_disk && **path != place.root.join(file.path.as_path())
        });
        Ok(unnamed.next().is_some())
    }

    /// Gives every file that is whole its name, and remembers what it is then. Nothing may be using the files.
    pub(super) fn name(
        &self,
        metainfo: &Metainfo,
        place: &Place,
        selection: &Selection,
    ) -> Result<(), Failure> {
        let info_hash = metainfo.info_hash();
        let Some(mut saved) = self.store.load(&info_hash)? else {
            return Ok(());
        };
        let prepared = prepare(metainfo, place, selection)?;
        let whole: Vec<bool> = metainfo
            .layout()
            .files()
            .zip(metainfo.files())
            .map(|((index, _), file)| {
                matches!(file.kind, FileKind::Regular(_))
                    && prepared.existed[index.index()]
                    && is_whole(metainfo, index, &saved.pieces)
            })
            .collect();
        let placed = storage::finish(metainfo, place, &prepared, &whole, &saved.stamps)?;
        saved.stamps = placed.stamps;
        Ok(self.store.save(&[(info_hash, saved)])?)
    }
}

/// Where the files of a torrent are now. All that is wanted is there already, so nothing is made.
fn prepare(metainfo: &Metainfo, place: &Place, selection: &Selection) -> Result<Prepared, Failure> {
    let wanted: Vec<bool> = (0..metainfo.files().len())
        .map(|file| selection.wants(file))
        .collect();
    Ok(storage::prepare(metainfo, place, &wanted)?)
}

/// Whether every piece of a file is there.
fn is_whole(metainfo: &Metainfo, file: FileIndex, have: &Bitfield) -> bool {
    let layout = metainfo.layout();
    let extent = layout.file(file);
    let piece_length = u64::from(layout.piece_length());
    let first = extent.start / piece_length;
    let end = (extent.start + extent.len).div_ceil(piece_length);
    extent.len == 0
        || layout
            .piece_indices()
            .take(end as usize)
            .skip(first as usize)
            .all(|piece| have.has(piece))
}

fn make_folder(option: &str, folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Failure::bad_file(
            folder,
            format!("not a folder; {option} is where files are written to"),
        ),
        _ => Failure::refused(format!("{}: cannot be made: {error}", PrintablePath(folder))),
    })
}
