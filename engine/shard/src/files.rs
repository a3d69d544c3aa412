//! The files of all torrents of a core: which are open, what they were when they were verified, who waits.
//!
//! A file is opened when it is needed first and closed when others need its descriptor. Its stamp is what was verified, or
//! what it was when it was first opened if its owner vouched for it. It decides nothing about reading.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use shoal_proto::layout::FileIndex;
use shoal_world::{Access, File, FileStamp, Socket};

use crate::buffers::{BufferId, Spot};
use crate::torrent::TorrentId;

/// A file of a torrent by number, unique in the life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileKey(pub(crate) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    Closed,
    Opening,
    Open(File),
}

/// Whether what is read of a file may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nobody has looked at it yet; its owner vouches for what it is at the first opening.
    Vouched,
    /// Its bytes are those of this stamp.
    Verified(FileStamp),
    /// It may have been written to and is being verified again; the stamp is what it was.
    Suspended(FileStamp),
    /// We write to it, so its stamp moves; it is what it was when it was looked at last, if it was. What is read of it
    /// was verified before it was written.
    Ours(Option<FileStamp>),
}

/// A write that waits for its file to be open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedWrite {
    pub(crate) buffer: BufferId,
    pub(crate) spot: Spot,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) torrent: TorrentId,
    pub(crate) index: FileIndex,
    pub(crate) path: Arc<Path>,
    pub(crate) handle: Handle,
    pub(crate) trust: Trust,
    pub(crate) access: Access,
    /// Reads, writes and syncs under way.
    pub(crate) under_way: u32,
    /// What is written when it is open.
    pub(crate) writes: Vec<PlannedWrite>,
    /// It is synced when it is open.
    pub(crate) sync_waits: bool,
    /// It was synced, and is looked at for the durable state.
    pub(crate) stamp_waits: bool,
    /// The same, when the look that is under way ended: it may have begun before the sync.
    pub(crate) look_again: bool,
    /// Used since the watch last looked at its path.
    pub(crate) used: bool,
    /// The watch is looking at its path.
    pub(crate) watched: bool,
    /// Peers whose run waits for it to be open or verified.
    pub(crate) waiters: Vec<Socket>,
}

/// The files of one core.
#[derive(Debug)]
pub(crate) struct Files {
    entries: BTreeMap<FileKey, Entry>,
    next: u32,
    /// Open files, the one opened longest ago first.
    open: VecDeque<FileKey>,
    open_max: usize,
    /// Files used since the watch last looked.
    used: VecDeque<FileKey>,
}

impl Files {
    pub(crate) fn new(open_max: u32) -> Files {
        assert!(open_max > 0, "a shard may open a file");
        Files {
            entries: BTreeMap::new(),
            next: 0,
            open: VecDeque::new(),
            open_max: open_max as usize,
            used: VecDeque::new(),
        }
    }

    pub(crate) fn insert(
        &mut self,
        torrent: TorrentId,
        index: FileIndex,
        path: Arc<Path>,
        trust: Trust,
    ) -> FileKey {
        let key = FileKey(self.next);
        self.next += 1;
        let access = match trust {
            Trust::Ours(_) => Access::Write,
            _ => Access::Read,
        };
        let entry = Entry {
            torrent,
            index,
            path,
            handle: Handle::Closed,
            trust,
            access,
            under_way: 0,
            writes: Vec::new(),
            sync_waits: false,
            stamp_waits: false,
            look_again: false,
            used: false,
            watched: false,
            waiters: Vec::new(),
        };
        self.entries.insert(key, entry);
        key
    }

    pub(crate) fn get(&mut self, key: FileKey) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// Notes that the file is in use, so that the watch looks at it.
    pub(crate) fn touch(&mut self, key: FileKey) {
        if let Some(entry) = self.entries.get_mut(&key)
            && !entry.used
        {
            entry.used = true;
            self.used.push_back(key);
        }
    }

    /// The next file whose path is to be looked at.
    pub(crate) fn next_used(&mut self) -> Option<FileKey> {
        while let Some(key) = self.used.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.used = false;
                return Some(key);
            }
        }
        None
    }

    pub(crate) fn any_used(&self) -> bool {
        !self.used.is_empty()
    }

    /// The file is open now. What must be closed for it: never itself, or those who wait for it would open it again and
    /// again. Where all others are in use, there is one more until [`Files::ended`].
    pub(crate) fn opened(&mut self, key: FileKey, file: File) -> Vec<File> {
        let close = self.close_idle(self.open_max - 1);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.handle = Handle::Open(file);
            self.open.push_back(key);
        }
        close
    }

    /// A read, write or sync of a file ended. What is to be closed, if more files are open than may be.
    pub(crate) fn ended(&mut self, key: FileKey) -> Vec<File> {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.under_way -= 1;
        }
        self.close_idle(self.open_max)
    }

    /// Closes the files open longest that nobody uses, until so many are left.
    fn close_idle(&mut self, left: usize) -> Vec<File> {
        let mut close = Vec::new();
        for _ in 0..self.open.len() {
            if self.open.len() <= left {
                break;
            }
            let Some(oldest) = self.open.pop_front() else {
                break;
            };
            match self.close(oldest) {
                Some(file) => close.push(file),
                None if self.entries.contains_key(&oldest) => self.open.push_back(oldest),
                None => {}
            }
        }
        close
    }

    /// Forgets a file. What it was: its handle is the caller's to close, now or when nothing is under way on it.
    pub(crate) fn remove(&mut self, key: FileKey) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.open.retain(|other| *other != key);
        Some(entry)
    }

    fn close(&mut self, key: FileKey) -> Option<File> {
        let entry = self.entries.get_mut(&key)?;
        match entry.handle {
            Handle::Open(file) if entry.under_way == 0 => {
                entry.handle = Handle::Closed;
                Some(file)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
