//! A memory file whose pages are sent by reference, as the kernel's are.
//!
//! A page that somebody holds is written in place all the same, and whoever holds it sees that. Only a hole takes the
//! page away from the file; then the next write takes a new one.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use shoal_world::{Errno, PAGE_LEN};

use super::player::gathered;
use super::{Random, Shared};

const LEN: usize = PAGE_LEN as usize;

/// A page, of the file and of whoever was sent it.
#[derive(Default)]
pub(super) struct Page {
    bytes: Mutex<Vec<u8>>,
}

impl Page {
    fn write(&self, start: usize, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap();
        bytes.resize(LEN, 0);
        bytes[start..start + new.len()].copy_from_slice(new);
    }

    pub(super) fn read(&self, start: usize, len: usize) -> Vec<u8> {
        self.bytes.lock().unwrap()[start..start + len].to_vec()
    }
}

/// The file.
pub(crate) struct Pages {
    shared: Arc<Shared>,
    pages: Mutex<BTreeMap<u64, Arc<Page>>>,
    random: Mutex<Random>,
}

impl Pages {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Pages {
        Pages {
            shared,
            pages: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
        }
    }

    /// Writes a part of the parts.
    ///
    /// # Safety
    /// Every part is readable memory.
    pub(crate) unsafe fn write(&self, parts: &[libc::iovec], offset: u64) -> Result<usize, Errno> {
        let mut random = self.random.lock().unwrap();
        if random.once_in(8) {
            return Err(Errno(libc::EINTR));
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { gathered(parts) };
        let len = if random.once_in(2) {
            bytes.len()
        } else {
            1 + random.below(bytes.len())
        };
        let mut pages = self.pages.lock().unwrap();
        let mut at = offset;
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            let start = (at % LEN as u64) as usize;
            let (now, later) = rest.split_at(rest.len().min(LEN - start));
            pages.entry(at / LEN as u64).or_default().write(start, now);
            at += now.len() as u64;
            rest = later;
        }
        Ok(len)
    }

    pub(crate) fn punch(&self, offset: u64, len: u32) {
        let range = offset / LEN as u64..(offset + u64::from(len)) / LEN as u64;
        self.pages.lock().unwrap().retain(|page, _| !range.contains(page));
    }

    /// Gives the far end references to a part of the range.
    pub(crate) fn send(&self, socket: BorrowedFd<'_>, offset: u64, len: u32) -> Result<u32, Errno> {
        let mut random = self.random.lock().unwrap();
        match random.below(8) {
            0 => return Err(Errno(libc::EINTR)),
            1 => return Err(Errno(libc::EAGAIN)),
            _ => {}
        }
        let taken = 1 + random.below(len as usize) as u64;
        let pages = self.pages.lock().unwrap();
        let mut at = offset;
        while at < offset + taken {
            let start = (at % LEN as u64) as usize;
            let len = (LEN - start).min((offset + taken - at) as usize);
            let page = Arc::clone(&pages[&(at / LEN as u64)]);
            self.shared
                .sockets
                .arrive_page(socket.as_raw_fd(), page, start, len);
            at += len as u64;
        }
        Ok(taken as u32)
    }
}
