//! The fetching side of one conversation: what was asked for, what comes, how fast.
//!
//! The pipeline is sized by bandwidth and delay: it grows by a block for every block that comes until a second passes
//! that brought no more than the one before, then it holds what the peer delivers in [`PIPELINE_TIME`]. What the
//! peer says that it queues (`reqq`, BEP 10) bounds it. It decides how much is asked for, never which blocks.

use std::collections::VecDeque;
use std::time::Duration;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{BLOCK_LEN, PieceIndex, Span};
use shoal_world::Time;

use crate::limits::{
    HINTS_MAX, NEAR, PIPELINE_BLOCKS_DEFAULT, PIPELINE_BLOCKS_MAX, PIPELINE_BLOCKS_MIN, PIPELINE_BLOCKS_NEAR,
    PIPELINE_TIME, SNUBBED_AFTER, UNASKED_MAX,
};

/// What we fetch from one peer.
#[derive(Debug)]
pub(crate) struct Download {
    /// What it has.
    pub(crate) pieces: Bitfield,
    /// It chokes us.
    pub(crate) choked: bool,
    /// It knows that we want something.
    pub(crate) interested: bool,
    /// Blocks that it was asked for, in order.
    pub(crate) asked: VecDeque<Asked>,
    /// The block that is arriving.
    pub(crate) incoming: Option<Incoming>,
    /// Pieces that it serves although it chokes us (BEP 6).
    pub(crate) allowed: Vec<PieceIndex>,
    /// Pieces that it would like us to fetch (BEP 6).
    pub(crate) suggested: Vec<PieceIndex>,
    /// Requests that it queues.
    pub(crate) requests_max: usize,
    /// A block came within [`NEAR`].
    near: bool,
    /// Blocks in the pipeline while it still grows; `None`: bandwidth and delay are known.
    growing: Option<usize>,
    /// It let us wait too long: it is asked for one block at a time until one comes.
    pub(crate) snubbed: bool,
    /// It refused a block since it was looked at last and sent none since: nothing is asked of it until then.
    pub(crate) refused: bool,
    /// When a block came last, or when it was first asked for one after it had nothing to deliver.
    pub(crate) heard_at: Time,
    pub(crate) rate: Rate,
    pub(crate) downloaded_bytes: u64,
    /// Blocks that may come although they are not asked for any more, and some more.
    unasked_left: u32,
    /// Bytes that the limits are still to be charged for (they came unasked), or, negative, to be given back (they were asked
    /// for and taken back).
    owed: i64,
    /// It stands in the queue of those who ask at the end of the turn.
    pub(crate) queued: bool,
}

/// A block that a peer was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) block: Span,
    pub(crate) at: Time,
}

/// A block on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) block: Span,
    /// Bytes that came.
    pub(crate) len: u32,
    /// Its bytes are kept.
    pub(crate) wanted: bool,
    /// It does not count as asked for any more: if the peer was asked for the same block since, that is another one.
    pub(crate) given_up: bool,
}

/// Bytes per second, over seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    began: Time,
    bytes: u64,
    /// Of the last whole second.
    bytes_per_s: u64,
}

impl Rate {
    /// Counts bytes. True: a second is over.
    pub(crate) fn add(&mut self, now: Time, bytes: u64) -> bool {
        self.bytes += bytes;
        let passed = now.since(self.began);
        if passed < Duration::from_secs(1) {
            return false;
        }
        let ns = passed.as_nanos().max(1);
        self.bytes_per_s = (u128::from(self.bytes) * 1_000_000_000 / ns) as u64;
        (self.began, self.bytes) = (now, 0);
        true
    }

    /// Bytes in the last whole second; 0 when nothing came since.
    pub(crate) fn bytes_per_s(&self, now: Time) -> u64 {
        if now.since(self.began) > Duration::from_secs(3) {
            0
        } else {
            self.bytes_per_s
        }
    }
}

impl Download {
    pub(crate) fn new(pieces: u32, now: Time) -> Download {
        Download {
            pieces: Bitfield::none(pieces),
            choked: true,
            interested: false,
            asked: VecDeque::new(),
            incoming: None,
            allowed: Vec::new(),
            suggested: Vec::new(),
            requests_max: PIPELINE_BLOCKS_DEFAULT,
            near: false,
            growing: Some(PIPELINE_BLOCKS_MIN),
            snubbed: false,
            refused: false,
            heard_at: now,
            rate: Rate::default(),
            downloaded_bytes: 0,
            unasked_left: UNASKED_MAX,
            owed: 0,
            queued: false,
        }
    }

    /// Blocks that may be under way.
    pub(crate) fn pipeline(&self, now: Time) -> usize {
        if self.snubbed {
            return 1;
        }
        let wanted = self.growing.unwrap_or_else(|| {
            let bytes = self.rate.bytes_per_s(now).saturating_mul(PIPELINE_TIME.as_secs());
            (bytes / u64::from(BLOCK_LEN)) as usize
        });
        let blocks_max = if self.near {
            PIPELINE_BLOCKS_NEAR
        } else {
            PIPELINE_BLOCKS_MAX
        };
        wanted
            .clamp(PIPELINE_BLOCKS_MIN, blocks_max)
            .min(self.requests_max)
    }

    /// How many blocks to ask for now: none before a good part of the pipeline is empty, so that requests go out many
    /// at a time.
    pub(crate) fn room(&self, now: Time) -> usize {
        if self.refused {
            return 0;
        }
        let pipeline = self.pipeline(now);
        // The peer is still busy with a block that was given up.
        let given_up = usize::from(self.incoming.is_some_and(|incoming| incoming.given_up));
        let free = pipeline.saturating_sub(self.asked.len() + given_up);
        if free * 4 >= pipeline { free } else { 0 }
    }

    /// The peer says how many requests it queues.
    pub(crate) fn set_requests_max(&mut self, requests: u32) {
        self.requests_max = (requests as usize).clamp(1, PIPELINE_BLOCKS_MAX);
    }

    /// Bytes of blocks came.
    pub(crate) fn count(&mut self, now: Time, bytes: u64) {
        self.downloaded_bytes += bytes;
        let before = self.rate.bytes_per_s;
        if self.rate.add(now, bytes) && self.rate.bytes_per_s < before + before / 8 {
            self.growing = None;
        }
    }

    /// A block came whole.
    pub(crate) fn heard(&mut self, now: Time, incoming: Incoming) {
        self.heard_at = now;
        self.snubbed = false;
        self.refused = false;
        self.growing = self.growing.map(|blocks| (blocks + 1).min(PIPELINE_BLOCKS_MAX));
        if incoming.given_up {
            return;
        }
        let place = self.asked.iter().position(|asked| asked.block == incoming.block);
        if let Some(asked) = place.and_then(|place| self.asked.remove(place)) {
            self.near |= now.since(asked.at) <= NEAR;
        }
    }

    /// The rest of the block that is arriving is dropped, and it is not asked for any more. Which one it is; the peer is to be
    /// told, or it would be asked for the same twice when its piece is begun again.
    pub(crate) fn give_up_incoming(&mut self) -> Option<Span> {
        let incoming = self.incoming.as_mut().filter(|incoming| !incoming.given_up)?;
        (incoming.wanted, incoming.given_up) = (false, true);
        let block = incoming.block;
        let asked = self.forget(block);
        // It comes all the same.
        self.owed += i64::from(block.len());
        asked.then_some(block)
    }

    /// The block that is coming now and was asked for, unless it was given up.
    pub(crate) fn arriving(&self) -> Option<Span> {
        let incoming = self.incoming.filter(|incoming| !incoming.given_up);
        incoming.map(|incoming| incoming.block)
    }

    /// A block is not asked for any more. True: it was.
    pub(crate) fn forget(&mut self, block: Span) -> bool {
        let place = self.asked.iter().position(|asked| asked.block == block);
        let gone = place.and_then(|place| self.asked.remove(place));
        self.owed -= gone.map_or(0, |asked| i64::from(asked.block.len()));
        gone.is_some()
    }

    /// The peer chokes and takes back what it was asked for. If it gave none of it, it is not asked again before it is looked
    /// at: one that chokes and unchokes at once would take part in nothing and hold what others are limited to.
    pub(crate) fn refuse_all(&mut self) {
        let heard_at = self.heard_at;
        self.refused |= self.asked.front().is_some_and(|asked| heard_at <= asked.at);
    }

    /// The same when the peer goes: nothing comes any more of what it was asked for.
    pub(crate) fn owed_at_the_end(&self) -> i64 {
        let asked = self.asked.iter().map(|asked| i64::from(asked.block.len()));
        self.owed - asked.sum::<i64>()
    }

    /// Bytes that the limits are to be charged for now, or given back.
    pub(crate) fn take_owed(&mut self) -> i64 {
        std::mem::take(&mut self.owed)
    }

    /// Something is asked for.
    pub(crate) fn ask(&mut self, now: Time, block: Span) {
        if self.asked.is_empty() {
            self.heard_at = now;
        }
        self.asked.push_back(Asked { block, at: now });
    }

    /// Takes back those of the blocks asked for that `goes` names, but for the one that is arriving. What is on its way
    /// may still come.
    pub(crate) fn take_back(&mut self, goes: impl Fn(Span) -> bool) -> Vec<Span> {
        let arriving = self.arriving();
        let (kept, gone): (VecDeque<Asked>, VecDeque<Asked>) = self
            .asked
            .drain(..)
            .partition(|asked| Some(asked.block) == arriving || !goes(asked.block));
        self.asked = kept;
        self.may_come(gone.len() as u32);
        self.owed -= gone.iter().map(|asked| i64::from(asked.block.len())).sum::<i64>();
        gone.into_iter().map(|asked| asked.block).collect()
    }

    /// So many blocks may come that nothing is known of any more.
    pub(crate) fn may_come(&mut self, blocks: u32) {
        self.unasked_left = self.unasked_left.saturating_add(blocks);
    }

    /// A block begins to come that was not asked for, or not any more: the limits are charged for it now.
    pub(crate) fn comes_unasked(&mut self, block: Span) {
        self.owed += i64::from(block.len());
    }

    /// A block came that was not asked for. False: too many did.
    pub(crate) fn tolerates_unasked(&mut self) -> bool {
        self.unasked_left = self.unasked_left.saturating_sub(1);
        self.unasked_left > 0
    }

    /// Notes a piece that the peer proposes or allows.
    pub(crate) fn note_hint(hints: &mut Vec<PieceIndex>, piece: PieceIndex) {
        if hints.contains(&piece) {
            return;
        }
        if hints.len() == HINTS_MAX {
            // The oldest was followed long ago, or never will be.
            hints.remove(0);
        }
        hints.push(piece);
    }

    /// Whether what it was asked for is overdue.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        !self.asked.is_empty() && now.since(self.heard_at) >= SNUBBED_AFTER
    }
}

#[cfg(test)]
mod tests;
