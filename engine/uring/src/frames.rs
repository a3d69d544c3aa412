//! Framed extents: a memfd whose pages are sent by reference.
//!
//! `sendfile` hands page references to the socket, and the receiver's side may hold them after the acknowledgement.
//! So a page that was ever sent is never written again: a framed extent is written once, and emptied by punching a
//! hole, which gives its pages back when the last reference goes. Writing it again takes new pages.

mod memory_file;

use std::io;
use std::os::fd::BorrowedFd;

use shoal_world::{Errno, FRAME_LEN, Frame};

pub(crate) use memory_file::MemoryFile;

/// The memory file and which of its places are written.
pub(crate) struct Frames {
    file: MemoryFile,
    written: Vec<bool>,
}

impl Frames {
    /// A memory file with room for `count` framed extents.
    pub(crate) fn new(count: u32) -> io::Result<Frames> {
        let file = MemoryFile::new(u64::from(count) * u64::from(FRAME_LEN))?;
        Ok(Frames::of(file, count))
    }

    /// The same in a file that is there, and empty.
    pub(crate) fn of(file: MemoryFile, count: u32) -> Frames {
        let written = vec![false; count as usize];
        Frames { file, written }
    }

    pub(crate) fn count(&self) -> u32 {
        self.written.len() as u32
    }

    /// Writes an empty framed extent from its start.
    ///
    /// # Safety
    /// Every part of `parts` is readable memory.
    pub(crate) unsafe fn fill(&mut self, frame: Frame, parts: &mut [libc::iovec]) -> Result<(), Errno> {
        let written = &mut self.written[frame.0 as usize];
        assert!(!*written, "a framed extent was written twice");
        *written = true;
        let mut offset = start_of(frame);
        let end = offset + u64::from(FRAME_LEN);
        let mut parts = parts;
        while !parts.is_empty() {
            // SAFETY: the caller's promise.
            match unsafe { self.file.write(parts, offset) } {
                Ok(wrote) => {
                    offset += wrote as u64;
                    parts = advance(parts, wrote);
                }
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => return Err(errno),
            }
        }
        assert!(offset <= end, "a framed extent got more bytes than it holds");
        Ok(())
    }

    /// Gives the pages of a framed extent back; those on their way live until they arrived.
    pub(crate) fn discard(&mut self, frame: Frame) {
        self.file.punch(start_of(frame), FRAME_LEN);
        self.written[frame.0 as usize] = false;
    }

    /// Sends what the socket takes of a range, without waiting.
    pub(crate) fn send(
        &self,
        socket: BorrowedFd<'_>,
        frame: Frame,
        start: u32,
        len: u32,
    ) -> Result<u32, Errno> {
        assert!(self.written[frame.0 as usize], "an empty framed extent was sent");
        assert!(start + len <= FRAME_LEN, "a range outside its framed extent");
        loop {
            match self.file.send(socket, start_of(frame) + u64::from(start), len) {
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => return Ok(0),
                result => return result,
            }
        }
    }
}

/// First byte of a framed extent in the memory file.
fn start_of(frame: Frame) -> u64 {
    u64::from(frame.0) * u64::from(FRAME_LEN)
}

/// The parts that remain after their first `done` bytes.
fn advance(parts: &mut [libc::iovec], mut done: usize) -> &mut [libc::iovec] {
    let mut whole = 0;
    while whole < parts.len() && done >= parts[whole].iov_len {
        done -= parts[whole].iov_len;
        whole += 1;
    }
    let rest = &mut parts[whole..];
    if let Some(first) = rest.first_mut() {
        // SAFETY: `done` is below this part's length.
        first.iov_base = unsafe { first.iov_base.cast::<u8>().add(done) }.cast();
        first.iov_len -= done;
    }
    rest
}

#[cfg(test)]
mod tests;
