//! Files under a running seed: opened, compared with what was verified, given up when they changed.
//!
//! Every read brings the stamp that its file had afterwards, and every few seconds the paths of files in use are
//! looked at as well: a deleted or replaced file keeps its old bytes readable through an open descriptor, and what is
//! cached is not read at all. A file that was touched without a visible reason is suspended until somebody verified
//! it again; anything else that changed ends its torrent, with a reason, and only it.

use std::collections::BTreeSet;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::FileIndex;
use shoal_world::{Access, Errno, File, FileStamp, Op, Opened, PAGE_LEN, Refusal, StampChange, Time};

use crate::calling::Candidates;
use crate::choker::Choker;
use crate::event::{Cause, Event, Failure};
use crate::files::{FileKey, Handle, Trust};
use crate::limits::{WATCH_EVERY, WATCH_FILES_MAX};
use crate::peer::{Source, Transmission, Upload};
use crate::shard::Shard;
use crate::throttle::OwnThrottles;
use crate::torrent::{Active, FilePlace, Seeding, TorrentId};

impl Shard {
    /// Adds a torrent.
    pub(crate) fn add(&mut self, seeding: Seeding) {
        assert!(
            !self.torrents.contains(seeding.info_hash),
            "a torrent was added twice"
        );
        let id = self.torrents.next_id();
        let Seeding {
            info_hash,
            layout,
            info,
            paths,
            have,
            stamps,
            fetch,
        } = seeding;
        assert!(
            paths.len() == layout.file_count() && stamps.len() == paths.len(),
            "a path and a stamp for every file"
        );
        let mut first_page = 0;
        let files =
            layout
                .files()
                .zip(paths.into_iter().zip(stamps))
                .map(|((index, place), (path, stamp))| {
                    let trust = match stamp {
                        stamp if fetch.is_some() => Trust::Ours(stamp),
                        Some(stamp) => Trust::Verified(stamp),
                        None => Trust::Vouched,
                    };
                    let file = FilePlace {
                        key: self.files.insert(id, index, path, trust),
                        first_page,
                    };
                    first_page += place.len.div_ceil(u64::from(PAGE_LEN));
                    file
                });
        let files: Vec<FilePlace> = files.collect();
        let complete = have.is_all();
        let peers = BTreeSet::new();
        let choker = Choker::new(self.settings.upload_slots, self.settings.choking);
        let active = Active {
            info_hash,
            layout,
            info,
            have,
            complete,
            files,
            peers,
            choker,
            warm: None,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            fetching: None,
            throttles: OwnThrottles::default(),
            suggestions: None,
            super_seeding: None,
            candidates: Candidates::default(),
            suspended: false,
        };
        self.torrents.insert(Box::new(active));
        if let Some(fetch) = fetch {
            self.begin_fetching(id, fetch);
        }
    }

    pub(crate) fn file_opened(
        &mut self,
        now: Time,
        key: FileKey,
        result: Result<Opened, Refusal>,
        ops: &mut Vec<Op>,
    ) {
        let Some(entry) = self.files.get(key) else {
            // Its torrent was given up meanwhile.
            ops.extend(result.ok().map(|opened| Op::CloseFile { file: opened.file }));
            return;
        };
        entry.handle = Handle::Closed;
        let opened = match result {
            Ok(opened) => opened,
            Err(Refusal::Errno(Errno(EMFILE | ENFILE | ENOMEM | EINTR))) => {
                // Nothing is wrong with the file: the watch opens it again for those who wait.
                self.files.touch(key);
                self.watch_at.get_or_insert(now + WATCH_EVERY);
                return;
            }
            Err(Refusal::Errno(errno)) if entry.access == Access::Write => {
                self.resume_writes(now, key, Err(errno), ops);
                return;
            }
            Err(refusal) => {
                self.fail_file(now, key, cause_of(refusal), ops);
                return;
            }
        };
        for file in self.files.opened(key, opened.file) {
            ops.push(Op::CloseFile { file });
        }
        self.take_stock(now, key, &opened.stamp, ops);
        self.resume_writes(now, key, Ok(()), ops);
        self.wake_waiters(now, key, ops);
    }

    /// Lets peers go on that waited for a file, if it is still there.
    fn wake_waiters(&mut self, now: Time, key: FileKey, ops: &mut Vec<Op>) {
        let Some(entry) = self.files.get(key) else { return };
        let waiters = std::mem::take(&mut entry.waiters);
        self.wake(now, waiters, ops);
    }

    /// Compares a file with what it was, and draws the consequence.
    fn take_stock(&mut self, now: Time, key: FileKey, stamp: &FileStamp, ops: &mut Vec<Op>) {
        if let Err(cause) = self.judge(key, stamp, ops) {
            self.fail_file(now, key, cause, ops);
        }
    }

    /// Whether bytes that were read before this stamp was taken are the verified ones. An error: never again.
    pub(crate) fn judge(
        &mut self,
        key: FileKey,
        stamp: &FileStamp,
        ops: &mut Vec<Op>,
    ) -> Result<bool, Cause> {
        let Some(entry) = self.files.get(key) else {
            return Ok(false);
        };
        let verified = match entry.trust {
            Trust::Verified(verified) => verified,
            Trust::Vouched => {
                entry.trust = Trust::Verified(*stamp);
                return Ok(true);
            }
            Trust::Ours(before) => return judge_ours(before, stamp).map(|()| true),
            Trust::Suspended(before) => {
                return judge_change(before.change(stamp), before, stamp).map(|_| false);
            }
        };
        let unchanged = judge_change(verified.change(stamp), verified, stamp)?;
        if unchanged {
            // Links and permissions may have changed, which later comparisons should start from.
            entry.trust = Trust::Verified(*stamp);
            return Ok(true);
        }
        entry.trust = Trust::Suspended(verified);
        let (torrent, file) = (entry.torrent, entry.index);
        self.suspend(torrent, file, ops);
        Ok(false)
    }

    /// Holds a torrent until it was verified again. That may take minutes, so nothing stays pinned for its peers.
    fn suspend(&mut self, id: TorrentId, file: FileIndex, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        if std::mem::replace(&mut active.suspended, true) {
            // All of its files are being verified already.
            return;
        }
        let (info_hash, peers) = (active.info_hash, active.peers.clone());
        for socket in peers {
            self.put_back_planned(socket, ops);
            let Some(conversation) = self.peers.talking(socket) else {
                continue;
            };
            if let Upload::Resuming(Transmission { run: Some(run), .. }) = &mut conversation.upload {
                let source = std::mem::replace(&mut run.source, Source::Unplanned);
                self.release(source, ops);
            }
        }
        self.tell(Event::FileSuspect { info_hash, file });
    }

    /// Looks at the paths of files that were used since the last time.
    pub(crate) fn watch(&mut self, now: Time, ops: &mut Vec<Op>) {
        self.watch_at = None;
        for _ in 0..WATCH_FILES_MAX {
            let Some(key) = self.files.next_used() else { break };
            let Some(entry) = self.files.get(key) else {
                continue;
            };
            if entry.watched {
                continue;
            }
            entry.watched = true;
            ops.push(Op::Stamp {
                token: key.0,
                path: entry.path.clone(),
            });
        }
        if self.files.any_used() {
            self.watch_at = Some(now + WATCH_EVERY);
        }
    }

    /// Sees to it that the watch runs while files are in use.
    pub(crate) fn keep_watching(&mut self, now: Time) {
        if self.files.any_used() {
            self.watch_at.get_or_insert(now + WATCH_EVERY);
        }
    }

    pub(crate) fn file_stamped(
        &mut self,
        now: Time,
        key: FileKey,
        result: Result<FileStamp, Refusal>,
        ops: &mut Vec<Op>,
    ) {
        self.file_settled(key, &result);
        let Some(entry) = self.files.get(key) else { return };
        entry.watched = false;
        let look_again = std::mem::take(&mut entry.look_again);
        match result {
            Ok(stamp) => self.take_stock(now, key, &stamp, ops),
            Err(Refusal::Errno(Errno(EMFILE | ENFILE | ENOMEM | EINTR))) => self.files.touch(key),
            Err(refusal) => self.fail_file(now, key, cause_of(refusal), ops),
        }
        if look_again {
            self.look_at_synced(key, ops);
        }
        // A file that could not be opened for want of descriptors is opened again here.
        self.reopen(key, ops);
        self.wake_waiters(now, key, ops);
    }

    /// All pieces of a suspended torrent are still right, with its files as these stamps say: it goes on. Files that are
    /// being fetched were not suspected, and their stamps move.
    pub(crate) fn torrent_verified(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        stamps: Vec<Option<FileStamp>>,
        ops: &mut Vec<Op>,
    ) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        active.suspended = false;
        let (files, peers) = (active.files.clone(), active.peers.clone());
        for (place, stamp) in files.into_iter().zip(stamps) {
            let (Some(entry), Some(stamp)) = (self.files.get(place.key), stamp) else {
                continue;
            };
            if !matches!(entry.trust, Trust::Ours(_)) {
                entry.trust = Trust::Verified(stamp);
            }
            self.wake_waiters(now, place.key, ops);
        }
        for socket in peers {
            self.queue_turn(socket);
        }
    }

    pub(crate) fn file_refuted(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        file: FileIndex,
        ops: &mut Vec<Op>,
    ) {
        if let Some(key) = self.key_of(info_hash, file) {
            self.fail_file(now, key, Cause::Refuted, ops);
        }
    }

    fn key_of(&mut self, info_hash: InfoHash, file: FileIndex) -> Option<FileKey> {
        let id = self.torrents.find(info_hash)?;
        Some(self.torrents.active(id)?.files.get(file.index())?.key)
    }

    /// Gives up the torrent of a file: its peers, its memory, its descriptors. Others are not touched.
    pub(crate) fn fail_file(&mut self, now: Time, key: FileKey, cause: Cause, ops: &mut Vec<Op>) {
        let Some(entry) = self.files.get(key) else { return };
        let (id, failure) = (
            entry.torrent,
            Failure {
                path: entry.path.clone(),
                cause,
            },
        );
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let info_hash = active.info_hash;
        for socket in std::mem::take(&mut active.peers) {
            self.disconnect(now, socket, ops);
        }
        self.give_up(id, ops);
        self.tell(Event::TorrentFailed { info_hash, failure });
    }

    pub(crate) fn give_up(&mut self, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.remove(id) else {
            return;
        };
        self.rotating.remove(&id);
        self.buffers.orphan(id, &mut self.cache);
        self.cache.forget(id);
        for frame in self.hot.forget(id) {
            ops.push(Op::Discard { frame });
        }
        for place in active.files {
            let Some(entry) = self.files.remove(place.key) else {
                continue;
            };
            match entry.handle {
                Handle::Open(file) if entry.under_way > 0 => {
                    self.abandoned.insert(file, entry.under_way);
                }
                Handle::Open(file) => ops.push(Op::CloseFile { file }),
                Handle::Closed | Handle::Opening => {}
            }
            for write in entry.writes {
                self.write_dropped(write.buffer);
            }
        }
    }

    /// A read, write or sync ended whose torrent is gone: its file closes with the last.
    pub(crate) fn abandoned_ended(&mut self, file: File, ops: &mut Vec<Op>) {
        let left = self
            .abandoned
            .get_mut(&file)
            .expect("what is under way on the files of a torrent that is gone is counted");
        *left -= 1;
        if *left == 0 {
            self.abandoned.remove(&file);
            ops.push(Op::CloseFile { file });
        }
    }
}

/// What we write to changes all the time; it must only stay the file that it was, and not shrink.
fn judge_ours(before: Option<FileStamp>, now: &FileStamp) -> Result<(), Cause> {
    let Some(before) = before else { return Ok(()) };
    match before.change(now) {
        StampChange::Replaced => Err(Cause::Replaced),
        StampChange::Deleted => Err(Cause::Deleted),
        StampChange::Resized { from, to } if to < from => Err(Cause::Resized { from, to }),
        _ => Ok(()),
    }
}

/// True: the same bytes. False: they must be verified again. An error: they are others.
fn judge_change(change: StampChange, before: FileStamp, now: &FileStamp) -> Result<bool, Cause> {
    match change {
        StampChange::None => Ok(true),
        StampChange::Suspect => Ok(false),
        StampChange::Deleted => Err(Cause::Deleted),
        StampChange::Replaced => Err(Cause::Replaced),
        StampChange::Written => Err(Cause::Written),
        StampChange::Resized { .. } => Err(Cause::Resized {
            from: before.size,
            to: now.size,
        }),
    }
}

fn cause_of(refusal: Refusal) -> Cause {
    match refusal {
        Refusal::NotRegular => Cause::NotRegular,
        Refusal::Errno(Errno(ENOENT | ENOTDIR)) => Cause::Deleted,
        Refusal::Errno(errno) => Cause::Errno(errno),
    }
}

// errno.h of Linux, the same on every architecture; this crate does not link against a C library's names.
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ENOMEM: i32 = 12;
const ENOTDIR: i32 = 20;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
