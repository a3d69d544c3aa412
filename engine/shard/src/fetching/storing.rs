//! Pieces that are whole: hashed, written, made durable.
//!
//! A verified piece is written at once: whole pages as they lie, the edges of files that fill no page by writes of
//! their own, because those go through the page cache. Written pieces are told to peers. Every second, or when much has
//! gathered, the files that were written are synced and looked at, and their pieces told to the owner as durable,
//! with the stamps that the files had.
//!
//! A write that fails pauses its torrent: what is right stays in memory, nothing more is asked for, and the write is tried
//! again until it succeeds. A sync that fails ends the torrent: nobody knows what is on the disk then.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::digest::Digest;
use shoal_proto::layout::{FileExtent, FileIndex, PieceIndex};
use shoal_proto::message::Message;
use shoal_world::{Errno, File, FileStamp, Gather, Op, PAGE_LEN, Refusal, Socket, Time};

use super::{Fetching, HashUnderWay};
use crate::buffers::{BufferId, Spot, Stage};
use crate::cache::{ExtentKey, Pages};
use crate::event::{Cause, Event, Failure};
use crate::files::{FileKey, Handle, PlannedWrite, Trust};
use crate::limits::{OUTBOX_LEN_MAX, SYNC_BYTES_MAX, SYNC_EVERY, WRITE_AGAIN_AFTER};
use crate::shard::Shard;
use crate::torrent::{TorrentId, places};

/// A write that the world performs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteUnderWay {
    pub(crate) file: FileKey,
    pub(crate) handle: File,
    pub(crate) index: FileIndex,
    pub(crate) buffer: BufferId,
}

/// Why a torrent is not fetched at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    /// When the write that failed is tried again.
    pub(crate) again_at: Time,
}

/// What was written and is not known to be durable.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    /// Pieces that were written since the batch under way was begun.
    written: Vec<PieceIndex>,
    written_bytes: u64,
    /// Their files.
    dirty: BTreeSet<FileIndex>,
    /// Since when the first of them waits.
    since: Option<Time>,
    batch: Option<Batch>,
}

/// Pieces that become durable together.
#[derive(Debug)]
struct Batch {
    pieces: Vec<PieceIndex>,
    /// Files that are not synced and looked at yet.
    left: BTreeSet<FileIndex>,
    stamps: BTreeMap<FileIndex, FileStamp>,
}

impl Durability {
    /// Whether everything that was written is durable.
    fn is_settled(&self) -> bool {
        self.written.is_empty() && self.batch.is_none()
    }

    /// When the next batch is due.
    fn due_at(&self) -> Option<Time> {
        if self.batch.is_some() {
            return None;
        }
        let since = self.since?;
        Some(if self.written_bytes >= SYNC_BYTES_MAX {
            since
        } else {
            since + SYNC_EVERY
        })
    }
}

impl Shard {
    /// All blocks of a piece came.
    pub(crate) fn hash_piece(&mut self, id: TorrentId, piece: PieceIndex, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let fetching = active.fetching.as_ref();
        let Some(in_hand) = fetching.and_then(|fetching| fetching.buffers.get(&piece)) else {
            return;
        };
        let buffer = in_hand.buffer;
        let len = active.layout.piece_len(piece);
        self.buffers.get_mut(buffer).stage = Stage::Hashing;
        self.hash(id, HashUnderWay { buffer, block: None }, 0, len, ops);
    }

    /// Has some bytes of a piece hashed as one message.
    pub(super) fn hash(
        &mut self,
        id: TorrentId,
        what: HashUnderWay,
        start: u32,
        len: u32,
        ops: &mut Vec<Op>,
    ) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let mut gather = Gather::default();
        self.buffers
            .each_spot(what.buffer, active.cut(id), start, len, |spot| {
                gather.push_extent(spot.extent, spot.start, spot.len);
            });
        let token = self.hashes.insert(what) as u32;
        ops.push(Op::Hash {
            token,
            parts: gather.parts,
        });
    }

    pub(crate) fn hashed(&mut self, now: Time, token: u32, digest: [u8; 20], ops: &mut Vec<Op>) {
        let HashUnderWay { buffer, block } = self.hashes.remove(token as usize);
        let Some(id) = self.buffers.get(buffer).torrent else {
            self.note_digest(buffer, block, digest);
            self.release_if_idle(buffer);
            return;
        };
        if block.is_some() {
            self.note_digest(buffer, block, digest);
            self.compare(now, id, buffer, ops);
            return;
        }
        let piece = self.buffers.get(buffer).piece;
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        let right = fetching.hashes[piece.index()] == Digest::Sha1(digest);
        if right && !fetching.blame.suspects(piece) {
            self.write_piece(now, id, buffer, ops);
        } else {
            self.counters.failed_pieces += u64::from(!right);
            self.hash_blocks(id, buffer, right, ops);
        }
    }

    /// A buffer of a torrent that is gone.
    fn release_if_idle(&mut self, buffer: BufferId) {
        if self.buffers.get(buffer).is_idle() {
            self.buffers.release(buffer, &mut self.cache);
        }
    }

    /// Writes a verified piece.
    pub(crate) fn write_piece(&mut self, now: Time, id: TorrentId, buffer: BufferId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let piece = self.buffers.get(buffer).piece;
        let len = active.layout.piece_len(piece);
        let mut writes = Vec::new();
        self.buffers
            .each_spot(buffer, active.cut(id), 0, len, |spot| split(spot, &mut writes));
        let keys: Vec<FileKey> = writes
            .iter()
            .map(|spot| active.files[spot.file.index()].key)
            .collect();
        self.buffers.get_mut(buffer).stage = Stage::Writing {
            left: writes.len() as u32,
            failed: None,
        };
        if writes.is_empty() {
            // A piece of padding only.
            self.written(now, id, buffer, ops);
            return;
        }
        for (spot, key) in writes.into_iter().zip(keys) {
            self.plan_write(key, PlannedWrite { buffer, spot }, ops);
        }
    }

    /// Writes, or opens the file for it.
    fn plan_write(&mut self, key: FileKey, write: PlannedWrite, ops: &mut Vec<Op>) {
        let entry = self
            .files
            .get(key)
            .expect("the files of a torrent last as long as it");
        match entry.handle {
            Handle::Open(handle) => {
                entry.under_way += 1;
                let PlannedWrite { buffer, spot } = write;
                let token = self.writes.insert(WriteUnderWay {
                    file: key,
                    handle,
                    index: spot.file,
                    buffer,
                }) as u32;
                ops.push(Op::Write {
                    token,
                    file: handle,
                    offset: spot.offset,
                    extent: spot.extent,
                    start: spot.start,
                    len: spot.len,
                });
            }
            Handle::Opening => entry.writes.push(write),
            Handle::Closed => {
                entry.writes.push(write);
                self.open_file(key, ops);
            }
        }
    }

    /// Opens a file that is closed.
    pub(crate) fn open_file(&mut self, key: FileKey, ops: &mut Vec<Op>) {
        let Some(entry) = self.files.get(key) else { return };
        entry.handle = Handle::Opening;
        ops.push(Op::Open {
            token: key.0,
            path: entry.path.clone(),
            access: entry.access,
        });
    }

    /// Opens a file again that could not be, if something waits to be written or synced.
    pub(crate) fn reopen(&mut self, key: FileKey, ops: &mut Vec<Op>) {
        let Some(entry) = self.files.get(key) else { return };
        if entry.handle == Handle::Closed && (entry.sync_waits || !entry.writes.is_empty()) {
            self.open_file(key, ops);
        }
    }

    /// A file was opened, or not: what waited to be written to it, or for its sync, goes on.
    pub(crate) fn resume_writes(
        &mut self,
        now: Time,
        key: FileKey,
        opened: Result<(), Errno>,
        ops: &mut Vec<Op>,
    ) {
        let Some(entry) = self.files.get(key) else { return };
        let (writes, syncs) = (
            std::mem::take(&mut entry.writes),
            std::mem::take(&mut entry.sync_waits),
        );
        let (id, index) = (entry.torrent, entry.index);
        for write in writes {
            match opened {
                Ok(()) => self.plan_write(key, write, ops),
                Err(errno) => self.write_ended(now, Some(id), write.buffer, index, Err(errno), ops),
            }
        }
        if syncs {
            match opened {
                Ok(()) => self.sync_file(key, ops),
                Err(errno) => self.fail_file(now, key, Cause::Unsynced(errno), ops),
            }
        }
    }

    /// A write still waited for its file to be open when its torrent went.
    pub(crate) fn write_dropped(&mut self, buffer: BufferId) {
        let Stage::Writing { left, .. } = &mut self.buffers.get_mut(buffer).stage else {
            panic!("a write waits of a piece that is not being written");
        };
        *left -= 1;
        self.release_if_idle(buffer);
    }

    pub(crate) fn wrote(&mut self, now: Time, token: u32, result: Result<(), Errno>, ops: &mut Vec<Op>) {
        let write = self.writes.remove(token as usize);
        if self.files.get(write.file).is_none() {
            self.abandoned_ended(write.handle, ops);
        } else {
            for file in self.files.ended(write.file) {
                ops.push(Op::CloseFile { file });
            }
        }
        let id = self.buffers.get(write.buffer).torrent;
        self.write_ended(now, id, write.buffer, write.index, result, ops);
    }

    fn write_ended(
        &mut self,
        now: Time,
        id: Option<TorrentId>,
        buffer: BufferId,
        index: FileIndex,
        result: Result<(), Errno>,
        ops: &mut Vec<Op>,
    ) {
        let Stage::Writing { left, failed } = &mut self.buffers.get_mut(buffer).stage else {
            panic!("a write ended of a piece that is not being written");
        };
        *left -= 1;
        if let Err(errno) = result {
            failed.get_or_insert((index, errno));
        }
        if *left > 0 {
            return;
        }
        let failed = *failed;
        match (id, failed) {
            (None, _) => self.buffers.release(buffer, &mut self.cache),
            (Some(id), None) => self.written(now, id, buffer, ops),
            (Some(id), Some((index, errno))) => {
                self.buffers.get_mut(buffer).stage = Stage::Unwritten;
                self.pause(now, id, index, errno, ops);
            }
        }
    }

    /// A piece was written: it can be served, and made durable with others.
    fn written(&mut self, now: Time, id: TorrentId, buffer: BufferId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        let piece = self.buffers.get(buffer).piece;
        let (start, len) = (active.layout.piece_offset(piece), active.layout.piece_len(piece));
        fetching.picker.verified(piece);
        fetching.buffers.remove(&piece);
        let durability = &mut fetching.durability;
        let files = active
            .layout
            .segments(start, len.into())
            .filter(|segment| !segment.padding);
        durability.dirty.extend(files.map(|segment| segment.file));
        durability.written.push(piece);
        durability.written_bytes += u64::from(len);
        durability.since.get_or_insert(now);
        let resumed = fetching.paused.take().is_some();
        active.have.set(piece);
        active.complete = active.have.is_all();
        let info_hash = active.info_hash;
        let cut = crate::buffers::Cut {
            id,
            layout: &active.layout,
            files: &active.files,
        };
        // What nobody asks us for is not worth driving everything else out of the caches, the processor's among them.
        let wanted = |socket: &Socket| {
            let talking = self.peers.talking(*socket);
            talking.is_some_and(|talking| talking.interested)
        };
        if active.peers.iter().any(wanted) {
            self.buffers.note_written(buffer, cut);
        }
        // What it shares pages with may have been read, and sent, before it was there.
        for place in places(cut.layout, cut.files, start, len.into()) {
            let key = ExtentKey {
                torrent: id,
                index: place.extent,
            };
            let pages = Pages::touched_by(place.start, place.len);
            self.cache.outdate(key, pages);
        }
        self.buffers.release(buffer, &mut self.cache);
        self.counters.written_bytes += u64::from(len);
        self.tell(Event::PieceWritten { info_hash, piece });
        if resumed {
            self.tell(Event::TorrentResumed { info_hash });
            self.write_again(now, id, ops);
        }
        self.announce_piece(now, id, piece, ops);
        self.settle_at = Some(now);
    }

    /// Tells peers that we have a piece. Seeds need not know; others are told even if they have it, because one that
    /// super-seeds (BEP 16) waits to hear of what it told us.
    fn announce_piece(&mut self, now: Time, id: TorrentId, piece: PieceIndex, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let (peers, left) = (active.peers.clone(), active.wanted_left());
        for socket in peers {
            let Some(conversation) = self.peers.talking(socket) else {
                continue;
            };
            let is_seed = |download: &crate::download::Download| download.pieces.is_all();
            if !conversation.download.as_deref().is_some_and(is_seed) {
                Message::Have(piece.get()).encode(&mut conversation.outbox);
                if conversation.outbox.len() > OUTBOX_LEN_MAX {
                    // It has read nothing for thousands of pieces.
                    self.disconnect(now, socket, ops);
                    continue;
                }
                self.send_next(now, socket, ops);
            }
            if left == 0 {
                self.review_interest(now, socket, ops);
            }
        }
    }

    /// No room, no right, no disk: nothing more is asked for until a write succeeds. Blocks of pieces that are not
    /// whole are given up, so that other torrents have the memory.
    fn pause(&mut self, now: Time, id: TorrentId, index: FileIndex, errno: Errno, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        let again_at = now + WRITE_AGAIN_AFTER;
        let news = fetching.paused.replace(Paused { again_at }).is_none();
        let (info_hash, key) = (active.info_hash, active.files[index.index()].key);
        self.settle_by(again_at);
        if !news {
            return;
        }
        let peers = self.torrents.get(id).map(|active| active.peers.clone());
        for socket in peers.unwrap_or_default() {
            self.cancel_all(now, socket, ops);
        }
        self.drop_unfinished(now, id, ops);
        let path = self.files.get(key).map(|entry| entry.path.clone());
        let path = path.expect("the files of a torrent last as long as it");
        self.tell(Event::TorrentPaused {
            info_hash,
            failure: Failure {
                path,
                cause: Cause::Errno(errno),
            },
        });
    }

    /// Gives up pieces of which blocks are missing.
    fn drop_unfinished(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        let buffers = &self.buffers;
        let in_hand = fetching.buffers.iter();
        let unfinished: Vec<PieceIndex> = in_hand
            .filter(|(_, in_hand)| matches!(buffers.get(in_hand.buffer).stage, Stage::Filling))
            .map(|(piece, _)| *piece)
            .collect();
        for piece in unfinished {
            self.drop_piece(now, id, piece, ops);
        }
    }

    /// Tries again to write what could not be written: one piece while nothing works, all when it does.
    fn write_again(&mut self, now: Time, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(fetching) = self.torrents.fetching(id) else {
            return;
        };
        let one = fetching.paused.is_some();
        let mut unwritten: Vec<BufferId> = fetching.buffers.values().map(|in_hand| in_hand.buffer).collect();
        unwritten.retain(|buffer| matches!(self.buffers.get(*buffer).stage, Stage::Unwritten));
        if one {
            unwritten.truncate(1);
        } else {
            self.queue_others(id, None);
        }
        for buffer in unwritten {
            self.write_piece(now, id, buffer, ops);
        }
    }

    /// Something is to be settled at this time at the latest.
    fn settle_by(&mut self, at: Time) {
        self.settle_at = Some(self.settle_at.map_or(at, |before| before.min(at)));
    }

    /// Begins batches, and writes again, where it is time to.
    pub(crate) fn settle(&mut self, now: Time, ops: &mut Vec<Op>) {
        if self.settle_at.is_none_or(|at| at > now) {
            return;
        }
        self.settle_at = None;
        let mut next: Option<Time> = None;
        for id in self.torrents.ids_fetching() {
            let Some(fetching) = self.torrents.fetching(id) else {
                continue;
            };
            let again_at = fetching.paused.map(|paused| paused.again_at);
            if again_at.is_some_and(|at| at <= now) {
                fetching.paused = Some(Paused {
                    again_at: now + WRITE_AGAIN_AFTER,
                });
                self.write_again(now, id, ops);
            }
            let due_at = self.sync_due_at(id);
            if due_at.is_some_and(|at| at <= now) {
                self.begin_batch(id, ops);
            }
            let fetching = self.torrents.fetching(id);
            let again_at = fetching
                .and_then(|fetching| fetching.paused)
                .map(|paused| paused.again_at);
            let due_at = self.sync_due_at(id);
            next = [next, again_at, due_at].into_iter().flatten().min();
        }
        self.settle_at = next;
    }

    /// Whether everything that came whole is written and durable, as far as it can be: what cannot be written now is
    /// fetched again.
    pub(crate) fn is_settled(&self) -> bool {
        let settled = |fetching: &Fetching| fetching.paused.is_some() || fetching.durability.is_settled();
        self.hashes.is_empty()
            && self.writes.is_empty()
            && self
                .torrents
                .all()
                .filter_map(|active| active.fetching.as_deref())
                .all(settled)
    }

    /// When a torrent's next batch is due: at once where nothing more is wanted.
    fn sync_due_at(&mut self, id: TorrentId) -> Option<Time> {
        let left = self.torrents.get(id)?.wanted_left();
        let durability = &self.torrents.fetching(id)?.durability;
        let due_at = durability.due_at()?;
        Some(if left == 0 || self.stopping {
            durability.since?
        } else {
            due_at
        })
    }

    fn begin_batch(&mut self, id: TorrentId, ops: &mut Vec<Op>) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        let durability = &mut fetching.durability;
        let left = std::mem::take(&mut durability.dirty);
        durability.batch = Some(Batch {
            pieces: std::mem::take(&mut durability.written),
            left: left.clone(),
            stamps: BTreeMap::new(),
        });
        durability.written_bytes = 0;
        durability.since = None;
        let keys: Vec<FileKey> = left.iter().map(|index| active.files[index.index()].key).collect();
        for key in keys {
            self.sync_file(key, ops);
        }
        // A batch of padding has no files.
        self.batch_went_on(id);
    }

    /// Syncs a file, which may have been closed since: what was written to it then is synced all the same, and an
    /// error that nobody heard of is told to whoever opens it next (errseq, Linux 4.16).
    fn sync_file(&mut self, key: FileKey, ops: &mut Vec<Op>) {
        let entry = self
            .files
            .get(key)
            .expect("the files of a torrent last as long as it");
        match entry.handle {
            Handle::Open(file) => {
                entry.under_way += 1;
                let token = self.syncs.insert((key, file)) as u32;
                ops.push(Op::Sync { token, file });
            }
            Handle::Opening => entry.sync_waits = true,
            Handle::Closed => {
                entry.sync_waits = true;
                self.open_file(key, ops);
            }
        }
    }

    pub(crate) fn synced(&mut self, now: Time, token: u32, result: Result<(), Errno>, ops: &mut Vec<Op>) {
        let (key, file) = self.syncs.remove(token as usize);
        if self.files.get(key).is_none() {
            self.abandoned_ended(file, ops);
            return;
        }
        for file in self.files.ended(key) {
            ops.push(Op::CloseFile { file });
        }
        if let Err(errno) = result {
            self.fail_file(now, key, Cause::Unsynced(errno), ops);
            return;
        }
        self.look_at_synced(key, ops);
    }

    /// Looks at a file that was synced; where the watch is looking already, once more when it has.
    pub(crate) fn look_at_synced(&mut self, key: FileKey, ops: &mut Vec<Op>) {
        let Some(entry) = self.files.get(key) else { return };
        if entry.watched {
            entry.look_again = true;
            return;
        }
        (entry.watched, entry.stamp_waits) = (true, true);
        ops.push(Op::Stamp {
            token: key.0,
            path: entry.path.clone(),
        });
    }

    /// A synced file was looked at; if it could not be, the watch looks again.
    pub(crate) fn file_settled(&mut self, key: FileKey, result: &Result<FileStamp, Refusal>) {
        let Some(entry) = self.files.get(key) else { return };
        let Ok(stamp) = *result else { return };
        if !std::mem::take(&mut entry.stamp_waits) {
            return;
        }
        let (id, index) = (entry.torrent, entry.index);
        entry.trust = Trust::Ours(Some(stamp));
        if let Some(fetching) = self.torrents.fetching(id)
            && let Some(batch) = fetching.durability.batch.as_mut()
        {
            batch.left.remove(&index);
            batch.stamps.insert(index, stamp);
        }
        self.batch_went_on(id);
    }

    /// A batch is durable when its last file is.
    fn batch_went_on(&mut self, id: TorrentId) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let (info_hash, downloaded_bytes) = (active.info_hash, active.downloaded_bytes);
        let uploaded_bytes = active.uploaded_bytes;
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        let Some(batch) = fetching.durability.batch.take_if(|batch| batch.left.is_empty()) else {
            return;
        };
        self.tell(Event::PiecesDurable {
            info_hash,
            pieces: batch.pieces,
            stamps: batch.stamps.into_iter().collect(),
            downloaded_bytes,
            uploaded_bytes,
        });
        self.finish_if_done(id);
        if let Some(due_at) = self.sync_due_at(id) {
            self.settle_by(due_at);
        }
    }

    /// Everything wanted is there and durable: the owner is told, and a complete torrent becomes a seed.
    pub(crate) fn finish_if_done(&mut self, id: TorrentId) {
        let Some(active) = self.torrents.active(id) else {
            return;
        };
        let (info_hash, complete, left) = (active.info_hash, active.complete, active.wanted_left());
        let Some(fetching) = active.fetching.as_deref_mut() else {
            return;
        };
        if left > 0 || !fetching.durability.is_settled() || !fetching.buffers.is_empty() {
            return;
        }
        let news = !std::mem::replace(&mut fetching.finished, true);
        let wish = fetching.wishes.number;
        if complete {
            active.fetching = None;
            self.completed.push(id);
        }
        self.settle_whole_files(id);
        if news {
            self.tell(Event::TorrentFinished { info_hash, wish });
            self.say_upload_only(id);
        }
    }

    /// Files of which nothing is missing are not written any more: from here on they are what they were when they were
    /// looked at, like those that are only served.
    fn settle_whole_files(&mut self, id: TorrentId) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let is_whole = |file: FileExtent| {
            let length = u64::from(active.layout.piece_length());
            let pieces = file.start / length..(file.start + file.len).div_ceil(length);
            pieces
                .filter_map(|piece| active.layout.piece(piece as u32))
                .all(|piece| active.have.has(piece))
        };
        let whole: Vec<FileKey> = active
            .layout
            .files()
            .filter(|(_, file)| is_whole(*file))
            .map(|(index, _)| active.files[index.index()].key)
            .collect();
        for key in whole {
            if let Some(entry) = self.files.get(key) {
                entry.trust = match entry.trust {
                    Trust::Ours(Some(stamp)) => Trust::Verified(stamp),
                    Trust::Ours(None) => Trust::Vouched,
                    other => other,
                };
            }
        }
    }

    /// We fetch nothing more: peers that know the message need not keep anything for us (BEP 21).
    fn say_upload_only(&mut self, id: TorrentId) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        for socket in active.peers.clone() {
            let Some(conversation) = self.peers.talking(socket) else {
                continue;
            };
            if let Some(their_id) = conversation.upload_only_id {
                Message::Extended {
                    id: their_id.get(),
                    payload: &[1],
                }
                .encode(&mut conversation.outbox);
            }
        }
    }

    /// Seeds have nothing to say to seeds.
    pub(crate) fn part_from_seeds(&mut self, now: Time, ops: &mut Vec<Op>) {
        for id in std::mem::take(&mut self.completed) {
            let Some(active) = self.torrents.get(id) else {
                continue;
            };
            let pieces = active.layout.pieces();
            for socket in active.peers.clone() {
                let Some(conversation) = self.peers.talking(socket) else {
                    continue;
                };
                if let Some(download) = &conversation.download {
                    conversation.pieces = download.pieces.count();
                }
                if conversation.pieces >= pieces || conversation.upload_only {
                    self.disconnect(now, socket, ops);
                } else {
                    self.review_interest(now, socket, ops);
                }
            }
        }
    }
}

/// Cuts what is to be written where a disk takes it without a copy: whole pages apart from what stands before and behind.
fn split(spot: Spot, writes: &mut Vec<Spot>) {
    if spot.padding {
        return;
    }
    let aligned = (u64::from(spot.start) % u64::from(PAGE_LEN)) == spot.offset % u64::from(PAGE_LEN);
    let end = spot.start + spot.len;
    let first = spot.start.next_multiple_of(PAGE_LEN);
    let last = end - end % PAGE_LEN;
    if !aligned || first >= last {
        writes.push(spot);
        return;
    }
    for (from, to) in [(spot.start, first), (first, last), (last, end)] {
        if from < to {
            writes.push(Spot {
                start: from,
                len: to - from,
                offset: spot.offset + u64::from(from - spot.start),
                ..spot
            });
        }
    }
}
