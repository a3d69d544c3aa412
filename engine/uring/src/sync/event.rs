//! An eventfd: what wakes a core that sleeps in its ring.
//!
//! The core's ring has a multishot poll armed on it, which completes once for every write and not while the event
//! merely stays readable. Between a write and the completion lie the kernel's own locks; nobody needs to order memory
//! around it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// A counter in the kernel that can be polled.
#[derive(Debug)]
pub(crate) struct Event {
    counter: File,
}

impl Event {
    /// A silent event.
    pub(crate) fn new() -> io::Result<Event> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let counter = unsafe { File::from_raw_fd(fd) };
        Ok(Event { counter })
    }

    /// Completes the poll.
    pub(crate) fn signal(&self) {
        // It can only fail with a counter at its maximum, and then the event is signalled already.
        let _ = (&self.counter).write(&1_u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub(crate) fn clear(&self) {
        // It can only fail when it is silent already.
        let _ = (&self.counter).read(&mut [0; 8]);
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.counter.as_raw_fd()
    }
}
