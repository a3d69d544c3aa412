//! Waking a core that sleeps in its ring: once per sleep, not once per message.
//!
//! Whoever has something for a core first puts it where the core will look (a lock-free queue), then rings. Before it
//! sleeps, the core says so and then looks once more. Either the core sees the message, or the ringer sees that
//! the core sleeps: the two sequentially consistent exchanges on `asleep` order one before the other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The bell of one core.
#[derive(Debug)]
pub struct Doorbell {
    /// Said before sleeping, taken back by the first ringer or by the core when it is awake again.
    asleep: AtomicBool,
    /// An eventfd on which the core's ring has a poll armed.
    event: File,
}

impl Doorbell {
    /// A bell for a core that is awake.
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let event = unsafe { File::from_raw_fd(fd) };
        Ok(Doorbell {
            asleep: AtomicBool::new(false),
            event,
        })
    }

    /// Wakes the core if it sleeps. Call it after the message is in its place.
    pub fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can only fail with a counter at its maximum, and then the bell is ringing already.
            let _ = (&self.event).write(&1_u64.to_ne_bytes());
        }
    }

    /// The core is about to sleep: from here on a ringer will ring. Look for messages after this, then sleep.
    pub(crate) fn falls_asleep(&self) {
        self.asleep.swap(true, Ordering::SeqCst);
    }

    /// The core is awake.
    pub(crate) fn wakes(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// The poll reported the bell: silence it, or the poll would report it for ever.
    pub(crate) fn heard(&self) {
        // It can only fail when it is silent already.
        let _ = (&self.event).read(&mut [0; 8]);
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
