//! Framed extents: a memfd whose pages are sent by reference.
//!
//! `sendfile` hands page references to the socket, and the receiver's side may hold them after the acknowledgement.
//! So a page that was ever sent is never written again: a framed extent is written once, and emptied by punching a
//! hole, which gives its pages back when the last reference goes. Writing it again takes new pages.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use shoal_world::{Errno, FRAME_LEN, Frame};

use crate::memory::VECTORS_MAX;
use crate::stamp::last_errno;

/// The memory file and which of its places are written.
pub(crate) struct Frames {
    file: File,
    written: Vec<bool>,
}

impl Frames {
    /// A memory file with room for `count` framed extents; it takes memory only as they are written.
    pub(crate) fn new(count: u32) -> io::Result<Frames> {
        // SAFETY: the name is a NUL-terminated static.
        let fd = unsafe { libc::memfd_create(c"shoal-frames".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(u64::from(count) * u64::from(FRAME_LEN))?;
        Ok(Frames {
            file,
            written: vec![false; count as usize],
        })
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
        let mut offset = u64::from(frame.0) * u64::from(FRAME_LEN);
        let end = offset + u64::from(FRAME_LEN);
        let mut parts = parts;
        while !parts.is_empty() {
            // SAFETY: the caller's promise; the count is within the kernel's limit.
            let wrote = unsafe {
                libc::pwritev(
                    self.file.as_raw_fd(),
                    parts.as_ptr(),
                    parts.len().min(VECTORS_MAX) as libc::c_int,
                    offset as i64,
                )
            };
            if wrote < 0 {
                let errno = last_errno();
                if errno == Errno(libc::EINTR) {
                    continue;
                }
                return Err(errno);
            }
            offset += wrote as u64;
            parts = advance(parts, wrote as usize);
        }
        assert!(offset <= end, "a framed extent got more bytes than it holds");
        Ok(())
    }

    /// Gives the pages of a framed extent back; those on their way live until they arrived.
    pub(crate) fn discard(&mut self, frame: Frame) {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let offset = i64::from(frame.0) * i64::from(FRAME_LEN);
        // SAFETY: no memory is passed.
        let result = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, offset, i64::from(FRAME_LEN)) };
        assert!(result == 0, "a hole in a memory file is always granted");
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
        let mut offset = i64::from(frame.0) * i64::from(FRAME_LEN) + i64::from(start);
        loop {
            // SAFETY: both descriptors are open, `offset` is valid for writing.
            let sent = unsafe {
                libc::sendfile(
                    socket.as_raw_fd(),
                    self.file.as_raw_fd(),
                    &raw mut offset,
                    len as usize,
                )
            };
            if sent >= 0 {
                return Ok(sent as u32);
            }
            match last_errno() {
                Errno(libc::EINTR) => {}
                Errno(libc::EAGAIN) => return Ok(0),
                errno => return Err(errno),
            }
        }
    }
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
