//! What survives the end of the process: which pieces of which torrent are there, in one file.
//!
//! The file is a redb database, which takes care of pages, transactions and torn writes. It is not the truth about the
//! payload, only a claim: `resume` compares the stamps in it with the files before it believes anything. It does not
//! hold metainfo or settings.
//!
//! The table `shoal` has the one key `format` (a `u64`), the version of everything below: 1. The table `torrents` maps
//! the bytes of an info-hash, 20 or 32, to a record. All integers of a record are little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 1: the torrent was complete once; 0: not yet |
//! | 8, 8 | payload bytes uploaded, downloaded |
//! | 4, ⌈n / 8⌉ | n, the number of pieces; their bits as BEP 3 sends them |
//! | 4, … | the number of files; for each 0, or 1 and the 56 bytes of a stamp: device, inode, size, modified, changed (8 each), links, mode, uid, gid (4 each) |
//! | 4, … | the number of priorities; for each 1 byte |
//! | 8 | FNV-1a of all before: redb checks its own checksums only after a crash, and a claim with a flipped bit names a piece that is not there |
//!
//! Invariants: a batch is there as a whole or not at all, and durable once [`Store::save`] returned. The file is made
//! under another name and gets its own when it is whole, so an empty one is nobody's beginning. No content of the
//! file makes this module panic.

use std::fs::{self, File};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use redb::{Database, ReadableDatabase, TableDefinition};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_world::FileStamp;

mod error;
mod record;

pub use error::{Damage, StateError};

/// The version of the format that this program writes, and the newest that it reads.
const FORMAT: u64 = 1;

/// Bytes of the file that redb may keep in memory. A torrent of 10,000 pieces and 10 files takes about 2 KiB, so this
/// holds what is saved again and again of 4,000 torrents; the rest is read from the page cache. redb's own default is
/// 1 GiB.
const CACHE_LEN_MAX: usize = 8 << 20;

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("shoal");
const FORMAT_KEY: &str = "format";
const TORRENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("torrents");

/// The durable state, open and locked. Shared between threads, which take turns.
#[derive(Debug)]
pub struct Store {
    /// Nothing after its disk was full: redb is done with a file that it could not write once, so the next call
    /// opens it anew. Other errors stay, since what a disk lost while it was written shows only at the next start.
    database: Mutex<Option<Database>>,
    path: PathBuf,
}

/// What is remembered of one torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The pieces that are durable on disk.
    pub pieces: Bitfield,
    /// One for each file of the torrent, from after the last of its durable bytes was written. `None`: nothing was.
    pub stamps: Vec<Option<FileStamp>>,
    /// One for each file of the torrent.
    pub priorities: Vec<u8>,
    /// Payload bytes that were sent, in all lives.
    pub uploaded_bytes: u64,
    /// Payload bytes that came, in all lives.
    pub downloaded_bytes: u64,
    /// All that was wanted was there once, and the tracker knows.
    pub complete: bool,
}

impl Store {
    /// Opens the state and locks it; makes an empty one where there is none.
    ///
    /// # Errors
    /// The file is somebody else's or of a newer version, is damaged, or the operating system refuses.
    pub fn open(path: &Path) -> Result<Store, StateError> {
        match fs::metadata(path) {
            // A pipe would wait for its other end, and a folder is nobody's state.
            Ok(metadata) if !metadata.is_file() => return Err(StateError::damaged(path, Damage::NotOurs)),
            Ok(metadata) if metadata.len() == 0 => return Err(StateError::damaged(path, Damage::Empty)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(StateError::refused(path, error)),
        }
        Store::on(guarded(path, || open_whole(path))?, path)
    }

    /// The state in a database that is open; the path is only for sentences.
    fn on(database: Database, path: &Path) -> Result<Store, StateError> {
        let path = path.to_owned();
        match guarded(&path, || format(&database))? {
            Some(FORMAT) => Ok(Store {
                database: Mutex::new(Some(database)),
                path,
            }),
            Some(found) if found > FORMAT => Err(StateError::Newer { path, found }),
            _ => Err(StateError::damaged(&path, Damage::NotOurs)),
        }
    }

    /// Does something with the database, opened anew if its disk was full before.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StateError> {
        let mut slot = self
            .database
            .lock()
            .expect("panics of redb end before the lock does");
        let database = match slot.take() {
            Some(database) => database,
            None => guarded(&self.path, || open_whole(&self.path))?,
        };
        let result = guarded(&self.path, || work(&database));
        if !matches!(result, Err(StateError::NoSpace { .. })) {
            *slot = Some(database);
        }
        result
    }

    /// What is remembered of a torrent, if anything.
    ///
    /// # Errors
    /// The file is damaged or cannot be read.
    pub fn load(&self, info_hash: &InfoHash) -> Result<Option<Saved>, StateError> {
        let Some(record) = self.with(|database| record(database, info_hash))? else {
            return Ok(None);
        };
        match record::decode(&record) {
            Some(saved) => Ok(Some(saved)),
            None => Err(StateError::damaged(&self.path, Damage::Record(*info_hash))),
        }
    }

    /// Remembers all of these or, after a crash, none. Durable once it returns.
    ///
    /// # Errors
    /// The file cannot be written; what was saved before is still there. When only room was lacking the next call may
    /// succeed.
    pub fn save(&self, batch: &[(InfoHash, Saved)]) -> Result<(), StateError> {
        self.with(|database| {
            let write = database.begin_write()?;
            {
                let mut torrents = write.open_table(TORRENTS)?;
                for (info_hash, saved) in batch {
                    torrents.insert(info_hash.as_bytes(), record::encode(saved).as_slice())?;
                }
            }
            Ok(write.commit()?)
        })
    }

    /// Forgets a torrent; one that is not known is forgotten already. Durable once it returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&self, info_hash: &InfoHash) -> Result<(), StateError> {
        self.with(|database| {
            let write = database.begin_write()?;
            write.open_table(TORRENTS)?.remove(info_hash.as_bytes())?;
            Ok(write.commit()?)
        })
    }
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(ABOUT) {
        Ok(about) => Ok(about.get(FORMAT_KEY)?.map(|format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn record(database: &Database, info_hash: &InfoHash) -> Result<Option<Vec<u8>>, redb::Error> {
    let torrents = database.begin_read()?.open_table(TORRENTS)?;
    let record = torrents.get(info_hash.as_bytes())?;
    Ok(record.map(|record| record.value().to_vec()))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_LEN_MAX);
    builder
}

/// Opens a database and reads all of it once. redb trusts the pages of a file that was closed properly, its list of
/// free pages among them: with a flipped bit there, the next batch would be written over an older one.
fn open_whole(path: &Path) -> Result<Database, redb::Error> {
    let mut database = builder().open(path)?;
    // False: something was wrong and is repaired, to what the last whole transaction left.
    database.check_integrity()?;
    Ok(database)
}

/// Does what redb may panic in: flipped bits in its list of free pages make it index out of bounds. That is the
/// file's fault and not ours, and only that work is given up.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StateError> {
    // What the panic leaves behind is redb's: its poisoned locks turn later calls into errors or into this again.
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| StateError::database(path, error)),
        Err(_) => Err(StateError::damaged(path, Damage::Contradiction)),
    }
}

/// Makes the tables in an empty database.
fn found(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    write.open_table(TORRENTS)?;
    Ok(write.commit()?)
}

/// Makes an empty state under another name, and gives it its name when it is durable.
fn create(path: &Path) -> Result<(), StateError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let refused = |error| StateError::refused(path, error);
    let unfinished = tempfile::Builder::new()
        .prefix(".shoal-state-")
        .tempfile_in(folder)
        .map_err(refused)?;
    let database = builder()
        .create(unfinished.path())
        .map_err(|error| StateError::database(path, error))?;
    found(&database).map_err(|error| StateError::database(path, error))?;
    drop(database);
    unfinished.as_file().sync_all().map_err(refused)?;
    match unfinished.persist_noclobber(path) {
        Ok(_) => {}
        // Somebody else was faster; whose it is shows when it is opened.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error.error)),
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(refused)
}

#[cfg(test)]
mod tests;
