//! Reads in flight: a ring, and the memory it reads into.
//!
//! Memory is cut into slots of equal length; a chunk that needs the disk takes one slot for all of its extents. What a
//! read means, and what to do when it fails, is decided by the worker.
//!
//! Invariant: a slot is handed out again only after it was given back, and it is given back only after all reads into
//! it completed. Dropping the reader waits for reads in flight before their memory goes.

use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, squeue, types};

use crate::memory::Mapping;
use crate::setup;

/// One read to be made.
pub(super) struct Read {
    pub(super) descriptor: RawFd,
    pub(super) offset: u64,
    /// Where in the reader's memory the bytes go.
    pub(super) at: usize,
    pub(super) len: u32,
    /// Comes back with the answer.
    pub(super) token: u64,
}

/// The kernel's answer to a read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) token: u64,
    /// Bytes read, or what was wrong, negated.
    pub(super) result: i32,
}

/// See the module.
pub(super) struct Reader {
    /// First, so that it is dropped before the memory it knows.
    ring: IoUring,
    memory: Mapping,
    /// Whether the ring knows the memory, so that the kernel need not look its pages up for each read.
    registered: bool,
    slot_len: usize,
    free: Vec<usize>,
    in_flight: usize,
}

impl Reader {
    /// A reader with `slots` slots of `slot_len` bytes, or none where the kernel refuses rings or memory.
    pub(super) fn new(slots: usize, slot_len: usize) -> Option<Reader> {
        let ring = setup::ring().ok()?;
        let memory = Mapping::new(slots * slot_len).ok()?;
        let whole = libc::iovec {
            iov_base: memory.at(0).cast(),
            iov_len: memory.len(),
        };
        // SAFETY: the memory outlives the ring (see the order of fields), and is mapped as long as it lives.
        let registered = unsafe { ring.submitter().register_buffers(&[whole]) }.is_ok();
        Some(Reader {
            ring,
            memory,
            registered,
            slot_len,
            free: (0..slots).rev().collect(),
            in_flight: 0,
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A slot to read into, by its place in memory.
    pub(super) fn take_slot(&mut self) -> Option<usize> {
        self.free.pop().map(|slot| slot * self.slot_len)
    }

    /// Gives a slot back, into which nothing is being read any more.
    pub(super) fn return_slot(&mut self, at: usize) {
        self.free.push(at / self.slot_len);
    }

    /// Bytes that a completed read left.
    pub(super) fn bytes(&self, at: usize, len: usize) -> &[u8] {
        assert!(
            at + len <= self.memory.len(),
            "a range outside the reader's memory"
        );
        // SAFETY: inside the mapping, which was written from the start (zeroes); no read into this slot is in flight,
        // which the worker sees to: it looks at chunks only when all of their reads completed.
        unsafe { std::slice::from_raw_parts(self.memory.at(at), len) }
    }

    /// Queues a read. It starts with the next [`Reader::turn`].
    pub(super) fn read(&mut self, read: &Read) {
        assert!(
            read.at + read.len as usize <= self.memory.len(),
            "a read outside the reader's memory"
        );
        let descriptor = types::Fd(read.descriptor);
        let address = self.memory.at(read.at);
        let entry = if self.registered {
            opcode::ReadFixed::new(descriptor, address, read.len, 0)
                .offset(read.offset)
                .build()
        } else {
            opcode::Read::new(descriptor, address, read.len)
                .offset(read.offset)
                .build()
        };
        self.push(&entry.user_data(read.token));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the memory belongs to this reader until the completion, also when it is dropped; the descriptor is
        // kept open by the worker's files until the extent is released.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enter(0);
        }
        self.in_flight += 1;
    }

    /// Starts what is queued, waits for at least `want` completions, and takes all there are.
    pub(super) fn turn(&mut self, want: usize, answers: &mut Vec<Answer>) {
        self.enter(want);
        for completion in self.ring.completion() {
            self.in_flight -= 1;
            answers.push(Answer {
                token: completion.user_data(),
                result: completion.result(),
            });
        }
    }

    fn enter(&mut self, want: usize) {
        match self
            .ring
            .submit_and_wait(want)
            .map_err(|error| error.raw_os_error())
        {
            // EBUSY: completions overflowed and must be taken first, which is what comes next.
            Ok(_) | Err(Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) => panic!("io_uring_enter refused what it accepted before: errno {error:?}"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut answers = Vec::new();
        while self.in_flight > 0 {
            self.turn(1, &mut answers);
        }
    }
}
