//! A torrent of a session, in the hands of whoever added it.
//!
//! [`Torrent`] is a handle: cheap to clone, usable from any thread, and harmless after the session stopped. It says
//! what happens ([`Torrent::events`]), waits ([`Torrent::wait`]), changes what is wanted, and reads files while they are
//! being fetched ([`Torrent::reader`]).
//!
//! What a fetch begins with is [`Fetching::begin`]: files are made, what is there already is found out, and nothing is
//! believed of which it is not certain. It reads payload only where a file changed since it was saved.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_proto::metainfo::Metainfo;
use shoal_shard::Command;
pub use shoal_shard::{Cause, Failure, Order, Priority, TorrentReport};
use shoal_uring::scan;
use shoal_world::FileStamp;
use thiserror::Error;

use crate::check::Cancelled;
use crate::news::News;
use crate::reader::Reader;
use crate::resume::resume;
use crate::session::{AddError, Core};
use crate::state::{Saved, StateError, Store};
use crate::storage::{self, Place, StorageError};

/// What is wanted of a torrent.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// How much each file is wanted, in the order of the torrent. Empty: all alike.
    pub priorities: Vec<Priority>,
    /// Which pieces are fetched first.
    pub order: Order,
}

/// A torrent to fetch: its files are there, and it is known what is in them.
#[derive(Debug)]
pub struct Fetching {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) place: Place,
    pub(crate) wishes: Wishes,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) have: Bitfield,
    pub(crate) stamps: Vec<Option<FileStamp>>,
    pub(crate) store: Arc<Store>,
    pub(crate) saved: Saved,
    /// Addresses of peers to begin with.
    pub peers: Vec<SocketAddr>,
}

/// Why a torrent cannot be fetched.
#[derive(Debug, Error)]
pub enum BeginError {
    /// Its files cannot be made.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The durable state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// It was asked to stop.
    #[error("stopped before it was known what is there")]
    Cancelled,
}

/// Why something else cannot be wanted of a torrent. Nothing changed, but that some files may have been made.
#[derive(Debug, Error)]
pub enum WishError {
    /// It has no such piece.
    #[error("there is no piece {piece}: the torrent has {pieces}, counted from 0")]
    NoSuchPiece {
        /// What was asked for.
        piece: u32,
        /// How many pieces there are.
        pieces: u32,
    },
    /// Files cannot be made.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The core that fetches it is gone.
    #[error(transparent)]
    Core(#[from] AddError),
}

impl From<Cancelled> for BeginError {
    fn from(Cancelled: Cancelled) -> BeginError {
        BeginError::Cancelled
    }
}

impl Fetching {
    /// Makes the files that are wanted and finds out what is there: from the durable state, and by hashing what changed
    /// since it was written. `watch` hears how many bytes were hashed and may stop it.
    ///
    /// # Errors
    /// A file is in the way, there is no room, the state is unusable, or `watch` stopped it.
    pub fn begin(
        metainfo: Arc<Metainfo>,
        mut place: Place,
        mut wishes: Wishes,
        store: Arc<Store>,
        scan: &scan::Options,
        watch: &(impl Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Fetching, BeginError> {
        wishes.priorities.resize(metainfo.files().len(), Priority::Normal);
        let info_hash = metainfo.info_hash();
        let saved = store.load(&info_hash)?;
        place.data_expected |= saved
            .as_ref()
            .is_some_and(|saved| saved.stamps.iter().any(Option::is_some));
        let prepared = storage::prepare(&metainfo, &place, &wanted(&wishes.priorities))?;
        let paths = storage::resolve(&place, &prepared)?;
        let found = resume(&metainfo, &prepared, saved.as_ref(), scan, watch)?;
        let saved = Saved {
            pieces: found.have.clone(),
            stamps: found.stamps.clone(),
            priorities: wishes.priorities.iter().map(|priority| *priority as u8).collect(),
            uploaded_bytes: saved.as_ref().map_or(0, |saved| saved.uploaded_bytes),
            downloaded_bytes: saved.as_ref().map_or(0, |saved| saved.downloaded_bytes),
            complete: saved.as_ref().is_some_and(|saved| saved.complete),
        };
        store.save(&[(info_hash, saved.clone())])?;
        Ok(Fetching {
            metainfo,
            place,
            wishes,
            paths,
            have: found.have,
            stamps: found.stamps,
            store,
            saved,
            peers: Vec::new(),
        })
    }

    /// The pieces that are there.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }
}

/// What happens to a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TorrentEvent {
    /// Everything that is wanted is there, verified, and would survive a loss of power. It comes once for what was wanted at
    /// first, and once after every change of priorities, but not for what is not wanted any more.
    Finished,
    /// It cannot be written. It is tried again every few seconds.
    Paused(Failure),
    /// It is being fetched again.
    Resumed,
    /// A peer was proven to have sent wrong bytes and is not talked to any more.
    PeerBanned(SocketAddr),
    /// Its pieces are longer than `piece_length_max`: they do not fit into the memory of a core.
    PieceTooLong,
    /// It is not served any more: a file that was whole is not what it was, or what was written may be lost. Begin and add it
    /// again: what is right is believed or found, and only the rest is fetched.
    ///
    /// A whole file is compared with its stamp while peers ask for it. One that was touched for no visible reason is verified
    /// again meanwhile ([`Event::FileVerified`](crate::session::Event)). A file that is still being fetched changes all
    /// the time, so what somebody else writes to it is noticed only when it is checked.
    Failed(Failure),
    /// What was fetched cannot be remembered: the durable state cannot be written. What is on disk is right, and will be
    /// hashed again at the next start.
    StateLost(String),
}

/// What a handle and the control thread know of a torrent.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) paths: Vec<PathBuf>,
    /// Where it is fetched to, if it is.
    place: Option<Place>,
    pub(crate) news: News<TorrentEvent>,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Held while a wish gets its number and is sent, so that wishes reach the core in the order of their numbers.
    wishing: Mutex<()>,
}

#[derive(Debug)]
struct Progress {
    have: Bitfield,
    finished: bool,
    ended: bool,
    /// The number of the latest wish. That the torrent is finished is believed only in view of it: an answer to an
    /// earlier one may still be under way.
    wish: u64,
    /// What readers wait for, each its own window.
    windows: Vec<(u64, Vec<u32>)>,
    next_reader: u64,
}

impl Shared {
    pub(crate) fn new(
        metainfo: Arc<Metainfo>,
        paths: Vec<PathBuf>,
        place: Option<Place>,
        have: Bitfield,
    ) -> Shared {
        // Nothing is wanted of a torrent that is only served.
        let finished = place.is_none();
        Shared {
            metainfo,
            paths,
            place,
            news: News::new(),
            progress: Mutex::new(Progress {
                have,
                finished,
                ended: false,
                wish: 0,
                windows: Vec::new(),
                next_reader: 0,
            }),
            changed: Condvar::new(),
            wishing: Mutex::new(()),
        }
    }

    /// A panic elsewhere leaves the progress whole: every change to it is one assignment.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pieces that are verified and on disk.
    pub(crate) fn have(&self) -> Bitfield {
        self.lock().have.clone()
    }

    pub(crate) fn piece_written(&self, piece: PieceIndex) {
        self.lock().have.set(piece);
        self.changed.notify_all();
    }

    /// Tells whoever has a handle.
    pub(crate) fn tell(&self, event: TorrentEvent) {
        if let TorrentEvent::Failed(_) = event {
            // What was there may not be any more.
            self.lock().finished = false;
            self.end();
        }
        self.news.tell(event);
    }

    /// Everything is there that was wanted in view of the wish of this number. If something else is wanted by now, that is
    /// no news for anybody.
    pub(crate) fn finished(&self, wish: u64) {
        let mut progress = self.lock();
        if progress.wish == wish {
            progress.finished = true;
            self.changed.notify_all();
            self.news.tell(TorrentEvent::Finished);
        }
    }

    /// Something else is wanted from now on. The number of the wish.
    fn wish(&self) -> u64 {
        let mut progress = self.lock();
        progress.wish += 1;
        progress.finished = false;
        progress.wish
    }

    /// Nothing more will happen.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

/// A torrent that was added to a session.
#[derive(Clone, Debug)]
pub struct Torrent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: Core,
}

impl Torrent {
    /// Which torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.shared.metainfo.info_hash()
    }

    /// What its torrent file says.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.shared.metainfo
    }

    /// What happens to it. Each event goes to one receiver.
    pub fn events(&self) -> &Receiver<TorrentEvent> {
        self.shared.news.receiver()
    }

    /// The pieces that are verified and on disk.
    pub fn have(&self) -> Bitfield {
        self.shared.have()
    }

    /// Whether everything that is wanted is there and durable. Of a torrent that is only served nothing is wanted; of one
    /// that is fetched it is known soon after it was added.
    pub fn is_finished(&self) -> bool {
        self.shared.lock().finished
    }

    /// Waits until everything that is wanted is there and durable, at most until `deadline`. False: it is not, or never
    /// will be, because the torrent failed or the session stopped.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let progress = self.wait_until(deadline, |progress| progress.finished);
        progress.is_some()
    }

    /// What it is doing at this moment; nothing when it is not served any more.
    pub fn report(&self) -> Option<TorrentReport> {
        let info_hash = self.info_hash();
        let report = self.core.report()?;
        report
            .torrents
            .into_iter()
            .find(|torrent| torrent.info_hash == info_hash)
    }

    /// Connects to these peers, beside those it knows.
    ///
    /// # Errors
    /// The core that fetches it is gone.
    pub fn connect(&self, addresses: Vec<SocketAddr>) -> Result<(), AddError> {
        let info_hash = self.info_hash();
        self.core.command(Command::Connect { info_hash, addresses })
    }

    /// Wants its files so much from now on. Files that were not wanted so far are made first. Of a torrent that is only
    /// served nothing is wanted.
    ///
    /// # Errors
    /// Files cannot be made, or the core that fetches the torrent is gone.
    ///
    /// # Panics
    /// When there is not one priority for each file.
    pub fn set_priorities(&self, priorities: Vec<Priority>) -> Result<(), WishError> {
        assert_eq!(
            priorities.len(),
            self.shared.metainfo.files().len(),
            "a priority for every file"
        );
        let Some(place) = &self.shared.place else {
            return Ok(());
        };
        storage::prepare(&self.shared.metainfo, place, &wanted(&priorities))?;
        let info_hash = self.info_hash();
        self.wish(|wish| Command::Prioritise {
            info_hash,
            priorities,
            wish,
        })?;
        Ok(())
    }

    /// Wants these pieces, counted from 0, so much from now on, whatever is said of their files before or after. `None` takes
    /// that back: they are wanted as much as the file in each that is wanted most.
    ///
    /// Files that a piece reaches into are made first, sparse, if they were not wanted so far. A piece that is skipped while
    /// it is in progress is forgotten, and what came of it; one that is whole already is kept. As with files,
    /// [`Torrent::wait`] and [`TorrentEvent::Finished`] answer in view of the change, and of a torrent that is only served
    /// nothing is wanted. A [`Reader`] gets what it reads from skipped pieces as well.
    ///
    /// These priorities last as long as the torrent is in its session. They are not part of the durable state: whoever adds
    /// the torrent again says them again, as it says again how much the files are wanted.
    ///
    /// # Errors
    /// There is no such piece, files cannot be made, or the core that fetches the torrent is gone.
    pub fn set_piece_priorities(&self, pieces: &[u32], priority: Option<Priority>) -> Result<(), WishError> {
        let layout = self.shared.metainfo.layout();
        let known = |piece: &u32| {
            layout.piece(*piece).ok_or(WishError::NoSuchPiece {
                piece: *piece,
                pieces: layout.pieces(),
            })
        };
        let pieces = pieces.iter().map(known).collect::<Result<Vec<PieceIndex>, _>>()?;
        let Some(place) = &self.shared.place else {
            return Ok(());
        };
        // Without a priority of its own a piece is wanted by a file, for which its files were made.
        if priority.is_some_and(|priority| priority != Priority::Skip) {
            storage::prepare_pieces(&self.shared.metainfo, place, &pieces)?;
        }
        let info_hash = self.info_hash();
        self.wish(|wish| Command::PrioritisePieces {
            info_hash,
            pieces,
            priority,
            wish,
        })?;
        Ok(())
    }

    /// Limits its rates from now on, in bytes a second, besides the limits of the session.
    ///
    /// # Errors
    /// The core that fetches it is gone.
    pub fn set_limits(&self, download: Option<u64>, upload: Option<u64>) -> Result<(), AddError> {
        let info_hash = self.info_hash();
        self.core.command(Command::Limit {
            info_hash,
            download,
            upload,
        })
    }

    /// Super-seeds it when it is complete (BEP 16), or does not any more: peers that come are told of one piece at a time,
    /// so that a first seed sends every piece about once.
    ///
    /// # Errors
    /// The core that serves it is gone.
    pub fn set_super_seeding(&self, on: bool) -> Result<(), AddError> {
        let info_hash = self.info_hash();
        self.core.command(Command::SuperSeed { info_hash, on })
    }

    /// Fetches its pieces in this order from now on.
    ///
    /// # Errors
    /// The core that fetches it is gone.
    pub fn set_order(&self, order: Order) -> Result<(), AddError> {
        let info_hash = self.info_hash();
        self.core.command(Command::Reorder { info_hash, order })
    }

    /// A file of it as something to read from and to seek in, also while it is being fetched: what is read next is
    /// fetched first, also where it is skipped.
    ///
    /// # Errors
    /// It cannot be made or opened, or is padding.
    pub fn reader(&self, file: FileIndex) -> io::Result<Reader> {
        Reader::open(self.clone(), file)
    }

    /// Makes a file that nobody wanted so far, and those that it shares a piece with: a reader has them fetched.
    pub(crate) fn make(&self, file: FileIndex) -> Result<(), StorageError> {
        let layout = self.shared.metainfo.layout();
        let extent = layout.file(file);
        let Some(place) = self.shared.place.as_ref().filter(|_| extent.len > 0) else {
            return Ok(());
        };
        let piece_length = u64::from(layout.piece_length());
        // Only its first and its last piece can hold bytes of others.
        let ends = [extent.start, extent.start + extent.len - 1].map(|byte| (byte / piece_length) as u32);
        let mut pieces: Vec<PieceIndex> = ends.iter().filter_map(|piece| layout.piece(*piece)).collect();
        pieces.retain(|piece| !self.has(*piece));
        if !pieces.is_empty() {
            storage::prepare_pieces(&self.shared.metainfo, place, &pieces)?;
        }
        Ok(())
    }

    /// Sends a wish under a number of its own.
    fn wish(&self, command: impl FnOnce(u64) -> Command) -> Result<(), AddError> {
        let _in_order = self.shared.wishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.core.command(command(self.shared.wish()))
    }

    /// A new reader. Its number.
    pub(crate) fn add_reader(&self) -> u64 {
        let mut progress = self.shared.lock();
        progress.next_reader += 1;
        progress.next_reader
    }

    /// A reader waits for these pieces, in this order, in place of those it waited for before.
    pub(crate) fn expect(&self, reader: u64, pieces: Vec<u32>) {
        let mut progress = self.shared.lock();
        progress.windows.retain(|(other, _)| *other != reader);
        if !pieces.is_empty() {
            progress.windows.push((reader, pieces));
        }
        let mut seen = BTreeSet::new();
        let longest = progress
            .windows
            .iter()
            .map(|(_, window)| window.len())
            .max()
            .unwrap_or(0);
        // Readers take turns: the first piece of each, then the second of each.
        let turns = (0..longest).flat_map(|turn| {
            let windows = progress.windows.iter();
            windows.filter_map(move |(_, window)| window.get(turn).copied())
        });
        let pieces = turns.filter(|piece| seen.insert(*piece)).collect();
        let info_hash = self.info_hash();
        drop(progress);
        // A core that is gone fetches nothing; the reader is told by the end of the torrent.
        let _ = self.core.command(Command::Expect { info_hash, pieces });
    }

    /// Waits for a piece. False: it will not come.
    pub(crate) fn wait_for(&self, piece: PieceIndex) -> bool {
        self.wait_until(None, |progress| progress.have.has(piece))
            .is_some()
    }

    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.shared.lock().have.has(piece)
    }

    fn wait_until(&self, deadline: Option<Instant>, done: impl Fn(&Progress) -> bool) -> Option<()> {
        let mut progress = self.shared.lock();
        loop {
            if done(&progress) {
                return Some(());
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if progress.ended || left.is_zero() {
                return None;
            }
            progress = match deadline {
                None => self
                    .shared
                    .changed
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(_) => {
                    let waited = self.shared.changed.wait_timeout(progress, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Which files are wanted at all.
fn wanted(priorities: &[Priority]) -> Vec<bool> {
    let is_wanted = |priority: &Priority| *priority != Priority::Skip;
    priorities.iter().map(is_wanted).collect()
}

#[cfg(test)]
mod tests;
