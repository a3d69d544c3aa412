//! Messages that hashing threads hash for this core.
//!
//! The threads read the arena while the core goes on. The extents of a job are the world's until its final completion,
//! so nobody writes to them; and the arena outlives the jobs, because the end of a kernel waits for their results.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use shoal_world::{Completion, Part, Time};

use super::Kernel;
use crate::hash::Stream;
use crate::hash::pool::{Job, Outcome, Pool, Segment, Submitter};
use crate::mailbox::Mailbox;

/// Jobs of one core that the pool holds at most: the lanes of eight threads, filled twice. More wait here, in order.
/// A pool's queue has room for as many of each of its cores.
pub const JOBS_PER_CORE_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// How long they gather at most: a core that fetches a gigabyte a second completes four pieces of 2 MiB in the meantime,
/// which fill four lanes and are in the processor's caches still; one that fetches less has time.
const GATHER_MAX: Duration = Duration::from_millis(8);

/// One core's side of the hashing pool.
pub(super) struct Hashing {
    submitter: Submitter,
    /// What was not handed over yet, because the pool has no room or more may come.
    waiting: VecDeque<Job>,
    /// Since when something waits.
    since: Option<Time>,
    /// Kept so that every job has its result before the pool ends.
    _pool: Arc<Pool>,
}

impl Hashing {
    /// The entrance of the core `core`, whose bell is rung for results.
    pub(super) fn new(pool: Arc<Pool>, mailboxes: Arc<[Mailbox]>, core: usize) -> Hashing {
        Hashing {
            submitter: pool.submitter(JOBS_PER_CORE_MAX, move || mailboxes[core].bell().ring()),
            waiting: VecDeque::new(),
            since: None,
            _pool: pool,
        }
    }

    /// Whether a result waits.
    pub(super) fn has_results(&self) -> bool {
        self.submitter.has_results()
    }

    /// Whether threads may still read the arena. Results that came are thrown away, and so is what waits.
    pub(super) fn is_under_way_at_the_end(&mut self) -> bool {
        self.waiting.clear();
        while self.submitter.take().is_some() {}
        self.submitter.under_way() > 0
    }

    /// Hands over what waits, if it is enough or has waited long enough. When to come back if it is not.
    ///
    /// Lanes are worth most when all of them are taken.
    pub(super) fn hand_over(&mut self, now: Time) -> Option<Time> {
        if self.waiting.is_empty() {
            return None;
        }
        let due = *self.since.get_or_insert(now) + GATHER_MAX;
        let ready = if now < due {
            self.waiting.len() - self.waiting.len() % self.submitter.lanes()
        } else {
            self.waiting.len()
        };
        if ready == 0 {
            return Some(due);
        }
        let later = self.waiting.len() - ready;
        self.submitter.submit(&mut self.waiting, ready);
        // What the pool has no room for goes with the next result, and what fills no lanes yet waits from now on.
        self.since = None;
        let has_room = self.submitter.under_way() < JOBS_PER_CORE_MAX.get();
        assert!(
            !has_room || self.waiting.len() == later,
            "the queue of the hashing pool is shorter than its cores fill it"
        );
        (has_room && !self.waiting.is_empty()).then(|| *self.since.insert(now) + GATHER_MAX)
    }
}

impl Kernel {
    pub(super) fn hash(&mut self, token: u32, parts: &[Part]) {
        let segment = |part: &Part| match *part {
            Part::Extent { extent, start, len } => {
                let address = self.memory.arena.address(extent, start, len);
                // SAFETY: the range lies in the arena, which is mapped until no job is under way; the extent is the
                // world's until the completion, which follows the result.
                unsafe { Segment::new(address, len as usize) }
            }
            Part::Bytes { .. } => panic!("a hash has no bytes of its own"),
        };
        let job = Job {
            tag: u64::from(token),
            stream: Stream::new(),
            segments: parts.iter().map(segment).collect(),
            ends: true,
        };
        let hashing = self.hashing.as_mut();
        let hashing = hashing.expect("a hash was asked for in a world without hashing threads");
        hashing.waiting.push_back(job);
    }

    /// Takes what was hashed, and gives the pool what it has room for now.
    pub(super) fn take_hashed(&mut self, done: &mut Vec<Completion>) {
        let Some(hashing) = &mut self.hashing else { return };
        while let Some(hashed) = hashing.submitter.take() {
            let Outcome::Digest(digest) = hashed.outcome else {
                panic!("a message was given whole and is not at its end");
            };
            done.push(Completion::Hashed {
                token: hashed.tag as u32,
                digest,
            });
        }
    }
}
