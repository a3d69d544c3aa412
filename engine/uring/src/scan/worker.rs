//! One thread of a scan: claims units, keeps reads in flight, hashes what arrived.
//!
//! A *unit* is a run of whole pieces: as many as fit one chunk, or one piece that takes several chunks. Chunks of one
//! unit are hashed in order, chunks of different units side by side.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use slab::Slab;

use super::chunk::{Chunk, Storage};
use super::files::{Files, refused};
use super::hashing::{Fragment, Hashing};
use super::outcome::Findings;
use super::reader::{Answer, Reader};
use super::shape::Shape;
use super::space::Space;
use super::{Cancelled, Piece};
use crate::hash::{Hasher, Stream};
use crate::kernel::IoMode;

/// What the threads of a scan have in common. All of it is only read, but for three counters.
pub(super) struct Shared<'a> {
    pub(super) space: &'a Space<'a>,
    /// For each piece whether it is asked for; nothing: all are.
    pub(super) wanted: Option<&'a [bool]>,
    pub(super) shape: Shape,
    pub(super) io_mode: IoMode,
    /// Files that one worker may have open.
    pub(super) files_open_max: usize,
    pub(super) hasher: &'a Hasher,
    pub(super) watch: &'a (dyn Fn(u64) -> ControlFlow<()> + Sync),
    pub(super) units_claimed: AtomicU64,
    pub(super) bytes_done: AtomicU64,
    pub(super) cancelled: AtomicBool,
}

impl Shared<'_> {
    fn wants(&self, pieces: &Range<u64>) -> bool {
        self.wanted
            .is_none_or(|wanted| wanted[pieces.start as usize..pieces.end as usize].contains(&true))
    }
}

/// A run of whole pieces that is under way.
struct Unit {
    /// What was not planned yet.
    unplanned: Range<u64>,
    /// Planned and not hashed yet, in order.
    chunks: VecDeque<usize>,
    /// The piece that the last hashed chunk ended inside of.
    begun: Begun,
}

/// How far a piece is that takes several chunks.
enum Begun {
    /// So much of it is hashed.
    Stream(Stream),
    /// This part could not be read.
    Unread(usize),
}

/// Which piece a fragment belongs to, and what is left to do with it.
struct Place {
    unit: usize,
    piece: u64,
    /// The piece ends with this fragment.
    ends: bool,
}

/// See the module.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    storage: Storage<'a>,
    hashing: Hashing<'a>,
    units: Slab<Unit>,
    chunks: Slab<Chunk>,
    answers: Vec<Answer>,
    findings: Findings,
}

impl<'a> Worker<'a> {
    /// A worker of the calling thread, which alone may use it.
    pub(super) fn new(shared: &'a Shared<'a>) -> Worker<'a> {
        let storage = Storage {
            space: shared.space,
            files: Files::new(shared.io_mode, shared.files_open_max),
            reader: Reader::new(shared.shape.slots, shared.shape.slot_len()),
            io_mode: shared.io_mode,
            chunk_len: shared.shape.chunk_len,
            slot_len: shared.shape.slot_len(),
        };
        Worker {
            shared,
            storage,
            hashing: Hashing::new(shared.hasher),
            units: Slab::new(),
            chunks: Slab::new(),
            answers: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Works until no units are left.
    pub(super) fn run(mut self) -> Result<Findings, Cancelled> {
        loop {
            self.plan();
            if self.chunks.is_empty() {
                break;
            }
            let heads = self.heads();
            self.collect_answers(usize::from(heads.is_none()));
            if let Some(heads) = heads {
                self.hash(&heads);
            }
            if self.shared.cancelled.load(Ordering::Relaxed) {
                return Err(Cancelled);
            }
        }
        self.findings.observations = self.storage.files.into_observations();
        Ok(self.findings)
    }

    fn reads_in_flight(&self) -> usize {
        self.storage.reader.as_ref().map_or(0, Reader::in_flight)
    }

    /// Plans chunks until enough reads are in flight.
    fn plan(&mut self) {
        let Shape { slots, depth, .. } = self.shared.shape;
        while self.chunks.len() < slots && self.reads_in_flight() < depth {
            let Some(key) = self.unit_to_plan() else { break };
            let unit = &mut self.units[key];
            let entry = self.chunks.vacant_entry();
            let token = u32::try_from(entry.key()).expect("there are few chunks");
            // Not before another chunk is done with: one that is alone can always open a file.
            let Some(chunk) = self.storage.plan(unit.unplanned.clone(), token) else {
                break;
            };
            unit.unplanned.start = chunk.range.end;
            unit.chunks.push_back(entry.key());
            entry.insert(chunk);
        }
    }

    /// A new unit while fewer than wanted are incomplete, else the one with the fewest chunks waiting.
    fn unit_to_plan(&mut self) -> Option<usize> {
        let incomplete = || self.units.iter().filter(|(_, unit)| !unit.unplanned.is_empty());
        if incomplete().count() < self.shared.shape.units
            && let Some(unit) = self.claim()
        {
            return Some(self.units.insert(unit));
        }
        self.units
            .iter()
            .filter(|(_, unit)| !unit.unplanned.is_empty())
            .min_by_key(|(_, unit)| unit.chunks.len())
            .map(|(key, _)| key)
    }

    /// The next unit with a piece that is asked for.
    fn claim(&self) -> Option<Unit> {
        let (space, per_unit) = (self.shared.space, self.shared.shape.pieces_per_unit);
        loop {
            let claimed = self.shared.units_claimed.fetch_add(1, Ordering::Relaxed);
            let first = claimed.saturating_mul(per_unit);
            if first >= space.pieces() {
                return None;
            }
            let pieces = first..(first + per_unit).min(space.pieces());
            if self.shared.wants(&pieces) {
                return Some(Unit {
                    unplanned: space.bytes(pieces),
                    chunks: VecDeque::new(),
                    begun: Begun::Stream(Stream::new()),
                });
            }
        }
    }

    /// Units whose next chunks are to be hashed now: as many as keep a kernel busy, or all there are if no other unit
    /// waits for its next chunk to be read. `None`: it is worth waiting for a read.
    fn heads(&self) -> Option<Vec<usize>> {
        let mut heads = Vec::new();
        let (mut pieces, mut reading) = (0, 0);
        for (key, unit) in &self.units {
            match unit.chunks.front().map(|chunk| &self.chunks[*chunk]) {
                Some(chunk) if chunk.is_ready() => {
                    heads.push(key);
                    pieces += self.shared.space.pieces_in(&chunk.range).count();
                }
                Some(_) => reading += 1,
                None => {}
            }
            if pieces >= self.shared.hasher.lanes() {
                return Some(heads);
            }
        }
        (reading == 0).then_some(heads)
    }

    /// Starts queued reads and takes the answers, after waiting for `want` of them.
    fn collect_answers(&mut self, want: usize) {
        let Some(reader) = &mut self.storage.reader else {
            return;
        };
        if reader.in_flight() > 0 {
            reader.turn(want, &mut self.answers);
        }
        for answer in self.answers.drain(..) {
            let chunk = &mut self.chunks[(answer.token >> 32) as usize];
            self.storage.answered(chunk, answer.token as u32, answer.result);
        }
    }

    /// Hashes the next chunk of each of these units, side by side.
    fn hash(&mut self, heads: &[usize]) {
        let (places, results) = self.hash_fragments(heads);
        let mut ended = Vec::new();
        for (place, result) in places.into_iter().zip(results) {
            match (result, place.ends) {
                (Ok(stream), true) => ended.push((place.piece, stream)),
                (Ok(stream), false) => self.units[place.unit].begun = Begun::Stream(stream),
                (Err(part), true) => self.findings.pieces.push((place.piece, Piece::Unread { part })),
                (Err(part), false) => self.units[place.unit].begun = Begun::Unread(part),
            }
        }
        let (pieces, mut streams): (Vec<u64>, Vec<Stream>) = ended.into_iter().unzip();
        let digests = self
            .shared
            .hasher
            .finish(&mut streams)
            .into_iter()
            .map(Piece::Hashed);
        self.findings.pieces.extend(pieces.into_iter().zip(digests));
        self.release(heads);
    }

    /// Hashes the next chunk of each of these units. Tells for every piece in them its stream, or the part to blame.
    fn hash_fragments(&mut self, heads: &[usize]) -> (Vec<Place>, Vec<Result<Stream, usize>>) {
        let Worker {
            shared,
            storage,
            hashing,
            units,
            chunks,
            ..
        } = self;
        let mut places = Vec::new();
        let mut fragments = Vec::new();
        for key in heads {
            let unit = &mut units[*key];
            let chunk = &chunks[*unit.chunks.front().expect("a head has a chunk")];
            for piece in shared.space.pieces_in(&chunk.range) {
                let whole = shared.space.bytes(piece..piece + 1);
                let range = whole.start.max(chunk.range.start)..whole.end.min(chunk.range.end);
                let before = std::mem::replace(&mut unit.begun, Begun::Stream(Stream::new()));
                places.push(Place {
                    unit: *key,
                    piece,
                    ends: range.end == whole.end,
                });
                fragments.push(match (before, storage.spans(chunk, &range)) {
                    (Begun::Stream(stream), Ok(spans)) => Fragment::new(stream, spans),
                    (Begun::Unread(part), _) | (_, Err(part)) => Fragment::unread(part),
                });
            }
        }
        hashing.advance(&mut fragments);
        let results: Vec<_> = fragments.into_iter().map(Fragment::into_result).collect();
        let results = results.into_iter().map(|result| {
            result.map_err(|unread| {
                if let Some(errno) = unread.errno {
                    storage.files.fail(unread.part, refused(errno));
                }
                unread.part
            })
        });
        (places, results.collect())
    }

    /// The next chunks of these units are done with.
    fn release(&mut self, heads: &[usize]) {
        let mut bytes = 0;
        for key in heads {
            let unit = &mut self.units[*key];
            let chunk = self
                .chunks
                .remove(unit.chunks.pop_front().expect("a head has a chunk"));
            bytes += chunk.range.end - chunk.range.start;
            self.storage.release(&chunk);
            if unit.chunks.is_empty() && unit.unplanned.is_empty() {
                self.units.remove(*key);
            }
        }
        let done = self.shared.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if (self.shared.watch)(done).is_break() {
            self.shared.cancelled.store(true, Ordering::Relaxed);
        }
    }
}
