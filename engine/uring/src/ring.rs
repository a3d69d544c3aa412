//! The ring as a kernel world uses it: entries in, one way into the kernel, completions out.
//!
//! A thin layer over `io_uring`, with one reason to exist: in tests another hand can play the kernel (`played.rs`), so
//! that what is shared with the kernel runs under Miri and AddressSanitizer, which cannot look into the real one.
//!
//! It does not know what an entry means, and neither counts nor owns anything.

use std::io;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

use crate::setup::{self, Refused};

/// One core's ring. It is used on the thread that made it.
#[cfg_attr(
    test,
    expect(clippy::large_enum_variant, reason = "there is one for each core")
)]
pub(crate) enum Ring {
    Linux(IoUring),
    #[cfg(test)]
    Played(crate::played::Ring),
}

/// How long to stay in the kernel while nothing completes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sleep {
    No,
    UntilWoken,
    AtMost(Duration),
}

/// One completion, copied out of the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completed {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Completed {
    /// The entry goes on: its memory stays the kernel's.
    pub(crate) fn more(self) -> bool {
        cqueue::more(self.flags)
    }
}

impl Ring {
    pub(crate) fn new() -> Result<Ring, Refused> {
        setup::ring().map(Ring::Linux)
    }

    /// Makes memory known that entries name by the index of its part.
    ///
    /// # Safety
    /// The memory stays mapped until the ring is drained.
    pub(crate) unsafe fn register_buffers(&self, buffers: &[libc::iovec]) -> io::Result<()> {
        match self {
            // SAFETY: the caller's promise.
            Ring::Linux(ring) => unsafe { ring.submitter().register_buffers(buffers) },
            #[cfg(test)]
            Ring::Played(ring) => ring.register_buffers(buffers),
        }
    }

    /// Makes a ring of `len` provided buffers known, as the group `group`.
    ///
    /// # Safety
    /// `entries` is the address of `len` entries that stay mapped until the ring is drained.
    pub(crate) unsafe fn register_provided(&self, entries: u64, len: u16, group: u16) -> io::Result<()> {
        match self {
            // SAFETY: the caller's promise.
            Ring::Linux(ring) => unsafe {
                ring.submitter()
                    .register_buf_ring_with_flags(entries, len, group, 0)
            },
            #[cfg(test)]
            Ring::Played(ring) => ring.register_provided(entries, len, group),
        }
    }

    /// Queues entries, all or none: false when the queue has no room for them before the kernel was entered.
    ///
    /// # Safety
    /// The descriptors and the memory that the entries name stay as they are until the final completion of each.
    pub(crate) unsafe fn push(&mut self, entries: &[squeue::Entry]) -> bool {
        match self {
            // SAFETY: the caller's promise.
            Ring::Linux(ring) => unsafe { ring.submission().push_multiple(entries).is_ok() },
            #[cfg(test)]
            Ring::Played(ring) => ring.push(entries),
        }
    }

    /// Hands the queued entries to the kernel, and sleeps there unless something has completed.
    pub(crate) fn enter(&mut self, sleep: Sleep) -> io::Result<()> {
        match self {
            Ring::Linux(ring) => enter(ring, sleep),
            #[cfg(test)]
            Ring::Played(ring) => ring.enter(sleep),
        }
    }

    pub(crate) fn has_completed(&mut self) -> bool {
        match self {
            Ring::Linux(ring) => !ring.completion().is_empty(),
            #[cfg(test)]
            Ring::Played(ring) => ring.has_completed(),
        }
    }

    /// Takes the next completion.
    pub(crate) fn next(&mut self) -> Option<Completed> {
        match self {
            Ring::Linux(ring) => ring.completion().next().map(|entry| Completed {
                user_data: entry.user_data(),
                result: entry.result(),
                flags: entry.flags(),
            }),
            #[cfg(test)]
            Ring::Played(ring) => ring.next(),
        }
    }
}

fn enter(ring: &IoUring, sleep: Sleep) -> io::Result<()> {
    let entered = match sleep {
        Sleep::No => ring.submit(),
        Sleep::UntilWoken => ring.submit_and_wait(1),
        Sleep::AtMost(time) => {
            let timeout = Timespec::from(time);
            let limited = SubmitArgs::new().timespec(&timeout);
            ring.submitter().submit_with_args(1, &limited)
        }
    };
    entered.map(|_| ())
}
