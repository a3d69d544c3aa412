//! Where the files of a download are: in `--out`, or already in the folder that `--move-to` names.
//!
//! They are fetched in `--out`, get their names when they are whole, and are carried when all that is wanted is there. A
//! torrent of which something is in the other folder lives there from then on: what is there is looked at first, and what is
//! fetched later is fetched to there.
//!
//! | the state says | in `--out` | in the other folder | what is done |
//! |---|---|---|---|
//! | all was there | some | nothing | it is in `--out` |
//! | all was there | some | some | a move was cut off, and is carried on with |
//! | all was there | some | all, as the state says | it was moved; what came to `--out` since is not looked at |
//! | all was there | nothing | anything | it was moved, though perhaps a crash came before that was noted |
//! | nothing like that | anything | nothing wanted | it is in `--out` |
//! | something of the other folder's files | anything | some | it is being fetched there |
//! | nothing of them | nothing wanted | some | hashed: a move ended and was forgotten, or they are somebody else's |
//! | nothing of them | some | some | somebody else's, refused |
//!
//! Invariants: before the first file moves, the state says durably that all was there; a file of which no byte is right is
//! never taken for ours; nothing moves while an engine uses it.

use super::display::Display;
use super::selection::Selection;
use super::upkeep::State;
use crate::failure::Failure;
use crate::signals;
use crossbeam::channel::Receiver;
use shoal::check::Cancelled;
use shoal::printable::PrintablePath;
use shoal::resume::{self, Found};
use shoal::state::{Saved, StateError};
use shoal::storage::{self, MoveError, Place, Placed, Prepared, StorageError};
use shoal::torrent::Priority;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::FileIndex;
use shoal_proto::metainfo::{FileKind, Metainfo};
use std::path::{Component, Path, PathBuf};

/// Why a download does not go on.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Somebody said stop while it was found out what is there.
    StopRequested,
    /// Somebody said stop while files were carried to this folder.
    MoveStopped(PathBuf),
    Failed(Failure),
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Obstacle {
        Obstacle::Failed(failure)
    }
}

impl From<StorageError> for Obstacle {
    fn from(error: StorageError) -> Obstacle {
        Obstacle::Failed(error.into())
    }
}

impl From<StateError> for Obstacle {
    fn from(error: StateError) -> Obstacle {
        Obstacle::Failed(error.into())
    }
}

impl From<Cancelled> for Obstacle {
    fn from(Cancelled: Cancelled) -> Obstacle {
        Obstacle::StopRequested
    }
}

/// The files of a download and what is remembered of them.
pub(super) struct Home<'p> {
    pub(super) metainfo: &'p Metainfo,
    pub(super) selection: &'p Selection,
    pub(super) state: State,
    /// Where they are now.
    pub(super) place: Place,
    /// Another folder in which they are in the end.
    pub(super) destination: Option<PathBuf>,
}

/// In which of the two folders the files are.
enum Whereabouts {
    Out,
    /// A move was cut off.
    Both,
    Destination,
}

impl Home<'_> {
    /// Finds out where the files are, and carries on with a move that was cut off. `hash` finds out what is in files of
    /// which nothing is known.
    pub(super) fn settle(
        &mut self,
        stop_requests: &Receiver<()>,
        display: &mut Display<'_>,
        hash: impl FnOnce(&Prepared) -> Result<Found, Cancelled>,
    ) -> Result<(), Obstacle> {
        let Some(destination) = self.destination.clone() else {
            return Ok(());
        };
        let saved = self.state.store.load(&self.metainfo.info_hash())?;
        let there = storage::find(self.metainfo, &destination)?;
        let is_about = |saved: &Saved| resume::is_about(saved, self.metainfo, &there);
        let is_known = saved.as_ref().is_some_and(is_about);
        match self.whereabouts(saved.as_ref(), &there, is_known)? {
            Whereabouts::Out => {}
            Whereabouts::Both => {
                self.name()?;
                self.carry(destination, stop_requests, display)?;
            }
            Whereabouts::Destination => {
                if there.existed.contains(&true) && !is_known {
                    self.adopt(saved, &there, &hash(&there)?)?;
                }
                self.place.root = destination;
            }
        }
        Ok(())
    }

    /// `is_known`: the state is about the files that are in the destination.
    fn whereabouts(
        &self,
        saved: Option<&Saved>,
        there: &Prepared,
        is_known: bool,
    ) -> Result<Whereabouts, StorageError> {
        let here = storage::find(self.metainfo, &self.place.root)?;
        if let Some(saved) = saved.filter(|saved| saved.complete) {
            // A move may have begun, and files that nobody wants go along.
            let (any_here, any_there) = (here.existed.contains(&true), there.existed.contains(&true));
            return Ok(match (any_here, any_there) {
                (true, false) => Whereabouts::Out,
                (true, true) if !(is_known && has_all(saved, there)) => Whereabouts::Both,
                _ => Whereabouts::Destination,
            });
        }
        let Some(first) = self.wanted().find(|file| there.existed[*file]) else {
            return Ok(Whereabouts::Out);
        };
        if !is_known && self.wanted().any(|file| here.existed[file]) {
            return Err(StorageError::Occupied {
                path: there.paths[first].clone(),
            });
        }
        Ok(Whereabouts::Destination)
    }

    /// Takes what is in the destination for the torrent's, as far as it is right.
    fn adopt(&self, saved: Option<Saved>, there: &Prepared, found: &Found) -> Result<(), Obstacle> {
        let holds_any = |file: usize| found.stamps[file].is_some();
        if let Some(foreign) = self
            .wanted()
            .find(|file| there.existed[*file] && !holds_any(*file))
        {
            return Err(StorageError::Occupied {
                path: there.paths[foreign].clone(),
            }
            .into());
        }
        let files = self.metainfo.files().len();
        let saved = Saved {
            pieces: found.have.clone(),
            stamps: found.stamps.clone(),
            priorities: vec![Priority::Normal as u8; files],
            uploaded_bytes: saved.as_ref().map_or(0, |saved| saved.uploaded_bytes),
            downloaded_bytes: saved.as_ref().map_or(0, |saved| saved.downloaded_bytes),
            complete: saved.is_some_and(|saved| saved.complete),
        };
        Ok(self.state.store.save(&[(self.metainfo.info_hash(), saved)])?)
    }

    /// Files that are wanted and hold bytes, by index.
    fn wanted(&self) -> impl Iterator<Item = usize> + '_ {
        let files = self.metainfo.files().iter().enumerate();
        files
            .filter(|(index, file)| {
                matches!(file.kind, FileKind::Regular(_)) && file.len > 0 && self.selection.wants(*index)
            })
            .map(|(index, _)| index)
    }

    /// The folder that they are still to be carried to.
    fn ahead(&self) -> Option<&PathBuf> {
        self.destination
            .as_ref()
            .filter(|folder| **folder != self.place.root)
    }

    /// Whether all that is wanted has its name and is where it is to be in the end.
    pub(super) fn is_in_order(&self) -> Result<bool, Failure> {
        Ok(self.ahead().is_none() && !self.is_unnamed()?)
    }

    /// Gives files their names and carries them where they are to be. All that is wanted is there, and nothing uses it.
    pub(super) fn put_in_order(
        &mut self,
        stop_requests: &Receiver<()>,
        display: &mut Display<'_>,
    ) -> Result<(), Obstacle> {
        if self.is_unnamed()? {
            self.name()?;
        }
        match self.ahead().cloned() {
            Some(folder) => self.carry(folder, stop_requests, display),
            None => Ok(()),
        }
    }

    /// Whether a file of the selection still has a name with `.part` behind it.
    fn is_unnamed(&self) -> Result<bool, Failure> {
        let found = storage::find(self.metainfo, &self.place.root)?;
        let files = self.metainfo.files().iter().zip(&found.paths).enumerate();
        let mut unnamed = files.filter(|(index, (file, path))| {
            let on_disk = matches!(file.kind, FileKind::Regular(_)) && self.selection.wants(*index);
            on_disk && **path != self.place.root.join(file.path.as_path())
        });
        Ok(unnamed.next().is_some())
    }

    /// Gives every file that is whole its name, and remembers what it is then.
    fn name(&self) -> Result<(), Failure> {
        let Some(mut saved) = self.state.store.load(&self.metainfo.info_hash())? else {
            return Ok(());
        };
        let found = storage::find(self.metainfo, &self.place.root)?;
        let whole: Vec<bool> = self
            .metainfo
            .layout()
            .files()
            .map(|(file, _)| found.existed[file.index()] && is_whole(self.metainfo, file, &saved.pieces))
            .collect();
        let placed = storage::finish(self.metainfo, &self.place, &found, &whole, &saved.stamps)?;
        saved.stamps = placed.stamps;
        Ok(self.state.store.save(&[(self.metainfo.info_hash(), saved)])?)
    }

    /// Carries everything to this folder unless somebody says stop, and remembers what it is then.
    fn carry(
        &mut self,
        folder: PathBuf,
        stop_requests: &Receiver<()>,
        display: &mut Display<'_>,
    ) -> Result<(), Obstacle> {
        let info_hash = self.metainfo.info_hash();
        display.moving(&folder)?;
        let saved = self.state.store.load(&info_hash)?;
        let mut saved = saved.expect("what is moved was remembered when it was begun");
        if !saved.complete {
            saved.complete = true;
            self.state.store.save(&[(info_hash, saved.clone())])?;
        }
        let moved = self.move_files(&saved, &folder, stop_requests);
        let placed = moved.map_err(|error| match error {
            MoveError::Storage(error) => unmoved(&error).into(),
            MoveError::Cancelled => Obstacle::MoveStopped(folder.clone()),
        })?;
        saved.stamps = placed.stamps;
        self.state.store.save(&[(info_hash, saved)])?;
        display.moved(&folder)?;
        self.place.root = folder;
        Ok(())
    }

    fn move_files(
        &self,
        saved: &Saved,
        folder: &Path,
        stop_requests: &Receiver<()>,
    ) -> Result<Placed, MoveError> {
        let found = storage::find(self.metainfo, &self.place.root)?;
        let watch = |_| signals::unless_requested(stop_requests);
        storage::move_to(self.metainfo, &self.place, &found, &saved.stamps, folder, &watch)
    }
}

/// Whether every file is there of which the state knows.
fn has_all(saved: &Saved, there: &Prepared) -> bool {
    let mut files = saved.stamps.iter().zip(&there.existed);
    files.all(|(stamp, existed)| stamp.is_none() || *existed)
}

/// Whatever stands in the way: the input was good, so that this is the machine's refusal.
fn unmoved(error: &StorageError) -> Failure {
    Failure::refused(format!(
        "{error}; nothing is lost, and the same command moves what is not moved yet"
    ))
}

/// The folder that files are carried to in the end, if that is not where they are fetched to.
pub(super) fn destination(
    metainfo: &Metainfo,
    out: &Path,
    move_to: Option<&PathBuf>,
) -> Result<Option<PathBuf>, Failure> {
    let Some(move_to) = move_to else {
        return Ok(None);
    };
    if move_to.exists() && !move_to.is_dir() {
        return Err(Failure::bad_file(
            move_to,
            "not a folder; --move-to is where files are moved to",
        ));
    }
    let (from, to) = (resolved(out), resolved(move_to));
    if from == to {
        return Ok(None);
    }
    let mut own = metainfo
        .files()
        .iter()
        .filter_map(|file| file.path.elements().next());
    if own.any(|name| to.starts_with(from.join(name))) {
        return Err(Failure::bad_input(format!(
            "--move-to: {}: a folder of the torrent itself; choose one that is not within it",
            PrintablePath(move_to)
        )));
    }
    Ok(Some(move_to.clone()))
}

/// A path without links and detours. What is not there has no links, so that its `..` mean what they seem to.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|above| {
        let rest = absolute.strip_prefix(above).ok()?;
        Some((above.canonicalize().ok()?, rest))
    });
    let Some((mut real, rest)) = there else {
        return absolute;
    };
    for component in rest.components() {
        match component {
            Component::ParentDir => {
                real.pop();
            }
            component => real.push(component),
        }
    }
    real
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
