//! The kernel's side of the ring, played by a thread: a test double for what shares memory with the kernel.
//!
//! Neither Miri nor AddressSanitizer can look into the kernel, so neither would see it write to a buffer that was given
//! back, or read a message header that has moved. Here the kernel is a thread of the test ([`player`]). It takes the
//! bytes of every entry as the kernel's interface lays them out, and touches the memory that they name only by address,
//! late, in parts, at random moments up to the final completion. What it does to files, it does to real ones.
//!
//! It plays what [`crate::kernel::Kernel`] asks for, as far as memory goes: it times nothing, accepts nobody, and never
//! rings a bell. The far ends of connections are plain records ([`far`]), which see what arrived and when it is read.
//!
//! Invariants, which the tests rely on: memory is touched between the submission of an entry and its final completion,
//! at any moment and no other; a provided buffer is touched between the moment its entry is taken from behind the shared
//! tail and the completion that names it; pages that were sent stay as they were when nobody writes to them.

mod core;
mod entry;
mod far;
mod pages;
mod player;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use io_uring::squeue;
use shoal_world::Rng;

use crate::ring::{Completed, Sleep};
use entry::Entry;
use far::Sockets;
use player::Player;

pub(crate) use pages::Pages;
pub(crate) use player::{Provided, Taken};

/// Entries that wait for the kernel at most: few, so that a turn may have to submit early.
const SUBMISSIONS_LEN: usize = 8;

/// What the core, the kernel and the test share.
#[derive(Default)]
struct Shared {
    submitted: Mutex<Vec<Entry>>,
    /// Nothing is ordered by it: a kernel that looks and finds nothing learns nothing of the core's memory.
    has_submitted: AtomicBool,
    completed: Mutex<VecDeque<Completed>>,
    something_completed: Condvar,
    provided: Mutex<Option<Provided>>,
    sockets: Sockets,
    ending: AtomicBool,
}

/// A kernel, until it is dropped.
pub(crate) struct Played {
    shared: Arc<Shared>,
    player: Option<JoinHandle<usize>>,
}

impl Played {
    /// Starts one that decides by `seed`.
    pub(crate) fn new(seed: u64) -> Played {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let player = thread::spawn(move || Player::new(theirs, seed).play());
        Played {
            shared,
            player: Some(player),
        }
    }

    /// The core's side.
    pub(crate) fn ring(&self) -> Ring {
        Ring {
            shared: Arc::clone(&self.shared),
            queued: Vec::new(),
        }
    }

    /// A memory file whose pages the far ends hold by reference.
    pub(crate) fn pages(&self, seed: u64) -> Pages {
        Pages::new(Arc::clone(&self.shared), seed)
    }

    /// The far ends of all connections.
    pub(crate) fn far(&self) -> &Sockets {
        &self.shared.sockets
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        let ended = self.player.take().expect("it is dropped once").join();
        if !thread::panicking() {
            let left = ended.expect("the played kernel panicked");
            assert_eq!(left, 0, "entries were left to the kernel");
        }
    }
}

/// What stands in place of an `IoUring`.
pub(crate) struct Ring {
    shared: Arc<Shared>,
    queued: Vec<Entry>,
}

impl Ring {
    pub(crate) fn register_buffers(&self, _buffers: &[libc::iovec]) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn register_provided(&self, entries: u64, len: u16, _group: u16) -> io::Result<()> {
        *self.shared.provided.lock().unwrap() = Some(Provided::new(entries, len));
        Ok(())
    }

    pub(crate) fn push(&mut self, entries: &[squeue::Entry]) -> bool {
        let has_room = self.queued.len() + entries.len() <= SUBMISSIONS_LEN;
        if has_room {
            self.queued.extend(entries.iter().map(Entry::of));
        }
        has_room
    }

    pub(crate) fn enter(&mut self, sleep: Sleep) -> io::Result<()> {
        if !self.queued.is_empty() {
            self.shared.submitted.lock().unwrap().append(&mut self.queued);
            self.shared.has_submitted.store(true, Ordering::Relaxed);
        }
        let completed = self.shared.completed.lock().unwrap();
        let nothing = |completed: &mut VecDeque<Completed>| completed.is_empty();
        match sleep {
            Sleep::No => {}
            Sleep::UntilWoken => {
                drop(self.shared.something_completed.wait_while(completed, nothing));
            }
            Sleep::AtMost(time) => {
                let waited = self
                    .shared
                    .something_completed
                    .wait_timeout_while(completed, time, nothing);
                drop(waited);
            }
        }
        Ok(())
    }

    pub(crate) fn has_completed(&mut self) -> bool {
        !self.shared.completed.lock().unwrap().is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Completed> {
        self.shared.completed.lock().unwrap().pop_front()
    }
}

impl Shared {
    fn complete(&self, completed: Completed) {
        self.completed.lock().unwrap().push_back(completed);
        self.something_completed.notify_one();
    }
}

/// Decisions that a seed makes.
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Rng::new(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u32) as usize
    }

    /// True once in `times` on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

mod tests;
