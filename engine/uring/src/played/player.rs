//! The thread that plays the kernel: entries that are under way, and one step of one of them after the other.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use io_uring::opcode;
use io_uring::types::Timespec;

use super::entry::{BUFFER_SHIFT, CANCEL_ANY, Entry, MORE, POLL_MULTISHOT, WITH_BUFFER, memory};
use super::{Random, Shared, far};
use crate::received;
use crate::ring::Completed;

/// Most bytes that arrive at once, so that a test of a few steps has many arrivals.
const ARRIVES_LEN_MAX: usize = 200;

/// The ring of provided buffers, as the kernel keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Provided {
    entries: u64,
    len: u16,
    head: u16,
}

/// A buffer that was taken out of the ring.
pub(crate) struct Taken {
    pub(crate) index: u16,
    address: u64,
    len: u32,
}

impl Taken {
    /// Puts bytes into the buffer.
    ///
    /// # Safety
    /// The core was not told of the buffer yet.
    pub(crate) unsafe fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len as usize, "what a test sends fits");
        // SAFETY: the core leaves a buffer alone from its release until it is told of, and it is `len` bytes long.
        unsafe { memory::<u8>(self.address).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl Provided {
    pub(crate) fn new(entries: u64, len: u16) -> Provided {
        Provided {
            entries,
            len,
            head: 0,
        }
    }

    /// The next buffer behind the tail.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let first: *const received::Entry = memory(self.entries);
        // SAFETY: the ring is mapped while entries are under way; the tail is touched by atomic access only.
        let tail = unsafe { &(*first).tail }.load(Ordering::Acquire);
        if tail == self.head {
            return None;
        }
        let index = usize::from(self.head & (self.len - 1));
        self.head = self.head.wrapping_add(1);
        // SAFETY: the entry lies in the ring, and the core writes none that the tail has passed.
        unsafe {
            let entry = first.add(index);
            Some(Taken {
                index: (&raw const (*entry).index).read(),
                address: (&raw const (*entry).address).read(),
                len: (&raw const (*entry).len).read(),
            })
        }
    }
}

/// An entry that is under way.
struct UnderWay {
    entry: Entry,
    /// Bytes that have been moved.
    moved: u32,
    cancelled: bool,
    /// The timeout that is linked to it, and how long it is.
    timeout: Option<(Entry, Timespec)>,
}

/// What a step came to.
enum Step {
    GoesOn,
    /// With this result.
    Ends(i32),
    /// It has ended, and the completion that said so is out.
    Told,
}

/// The kernel.
pub(super) struct Player {
    shared: Arc<Shared>,
    random: Random,
    under_way: Vec<UnderWay>,
}

impl Player {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Player {
        Player {
            shared,
            random: Random::new(seed),
            under_way: Vec::new(),
        }
    }

    /// Plays until the end; says how many entries are left then.
    pub(super) fn play(mut self) -> usize {
        while !self.shared.ending.load(Ordering::Relaxed) {
            self.take_submitted();
            if !self.under_way.is_empty() {
                let index = self.random.below(self.under_way.len());
                self.advance(index);
            }
            thread::yield_now();
        }
        self.under_way.len()
    }

    fn take_submitted(&mut self) {
        if !self.shared.has_submitted.swap(false, Ordering::Relaxed) {
            return;
        }
        let submitted = std::mem::take(&mut *self.shared.submitted.lock().unwrap());
        for entry in submitted {
            if entry.opcode == opcode::LinkTimeout::CODE {
                let linked = self.under_way.last_mut().expect("a timeout follows its entry");
                // SAFETY: the time is the core's until the connect ends. The kernel reads it now and not later (io_uring
                // promises that since 5.5), and the core relies on that: the connect may be told of first.
                let time = unsafe { memory::<Timespec>(entry.address).read() };
                linked.timeout = Some((entry, time));
            } else {
                self.under_way.push(UnderWay {
                    entry,
                    moved: 0,
                    cancelled: false,
                    timeout: None,
                });
            }
        }
    }

    /// One step of one entry; its final completion, when that was the last.
    fn advance(&mut self, index: usize) {
        let mut under_way = self.under_way.swap_remove(index);
        match self.step(&mut under_way) {
            Step::GoesOn => self.under_way.push(under_way),
            Step::Told => {}
            Step::Ends(result) => {
                self.complete(&under_way.entry, result, 0);
                if let Some((timeout, _)) = under_way.timeout {
                    self.complete(&timeout, -libc::ECANCELED, 0);
                }
            }
        }
    }

    fn complete(&self, entry: &Entry, result: i32, flags: u32) {
        self.shared.complete(Completed {
            user_data: entry.user_data,
            result,
            flags,
        });
    }

    fn step(&mut self, under_way: &mut UnderWay) -> Step {
        // What was cancelled may go on for a while, and may even succeed.
        if under_way.cancelled && self.random.once_in(2) {
            return Step::Ends(-libc::ECANCELED);
        }
        let entry = under_way.entry;
        match entry.opcode {
            opcode::Recv::CODE if entry.is_multishot_receive() => self.receive(&entry),
            opcode::Recv::CODE => self.receive_exactly(under_way),
            opcode::RecvMsg::CODE => self.receive_datagram(&entry),
            opcode::SendMsg::CODE => self.send(&entry),
            opcode::Send::CODE => send_datagram(&entry),
            opcode::Read::CODE | opcode::ReadFixed::CODE => self.transfer(under_way, pread),
            opcode::Write::CODE | opcode::WriteFixed::CODE => self.transfer(under_way, pwrite),
            opcode::Fsync::CODE => Step::Ends(0),
            opcode::OpenAt::CODE => Step::Ends(open(&entry, entry.operation_flags as i32)),
            opcode::OpenAt2::CODE => Step::Ends(open(&entry, flags_of_how(&entry))),
            opcode::Statx::CODE => Step::Ends(statx(&entry)),
            opcode::Connect::CODE => Step::Ends(self.connect(&entry)),
            opcode::AsyncCancel::CODE => Step::Ends(self.cancel(&entry)),
            opcode::PollAdd::CODE if entry.len & POLL_MULTISHOT != 0 => Step::GoesOn,
            opcode::PollAdd::CODE => Step::Ends(entry.operation_flags as i32),
            other => panic!("an entry that nobody plays: {other}"),
        }
    }

    /// Bytes arrive in a buffer of the ring, or nothing more ever does.
    fn receive(&mut self, entry: &Entry) -> Step {
        if self.shared.sockets.has_closed(entry.descriptor) {
            return Step::Ends(0);
        }
        let len = 1 + self.random.below(ARRIVES_LEN_MAX);
        let shared = Arc::clone(&self.shared);
        self.fill_buffer(entry, || shared.sockets.say(entry.descriptor, len))
    }

    /// A datagram arrives behind the header and the name that `recvmsg` puts in front of it.
    fn receive_datagram(&mut self, entry: &Entry) -> Step {
        // SAFETY: the shape is the core's as long as the receive is armed, and nobody writes to it.
        let name_len = unsafe { memory::<libc::msghdr>(entry.address).read() }.msg_namelen;
        let len = self.random.below(ARRIVES_LEN_MAX);
        let port = 1 + self.random.below(1000) as u16;
        self.fill_buffer(entry, || far::datagram(port, len, name_len as usize))
    }

    /// Puts bytes into a buffer, and tells of it.
    fn fill_buffer(&mut self, entry: &Entry, bytes: impl FnOnce() -> Vec<u8>) -> Step {
        let mut provided = self.shared.provided.lock().unwrap();
        let Some(buffer) = provided.as_mut().expect("buffers were registered").take() else {
            return Step::Ends(-libc::ENOBUFS);
        };
        drop(provided);
        let bytes = bytes();
        // SAFETY: the completion follows below.
        unsafe { buffer.write(&bytes) };
        // Without the flag: the completion queue was full.
        let ends = self.random.once_in(16);
        let flags = WITH_BUFFER | u32::from(buffer.index) << BUFFER_SHIFT;
        let result = bytes.len() as i32;
        self.complete(entry, result, if ends { flags } else { flags | MORE });
        if ends { Step::Told } else { Step::GoesOn }
    }

    /// Bytes arrive one portion after the other, until there are as many as were asked for or no more come.
    fn receive_exactly(&mut self, under_way: &mut UnderWay) -> Step {
        let entry = under_way.entry;
        let left = entry.len - under_way.moved;
        let bytes = self
            .shared
            .sockets
            .say(entry.descriptor, 1 + self.random.below(left as usize));
        let address = memory::<u8>(entry.address + u64::from(under_way.moved));
        // SAFETY: `len` bytes from the address on are the kernel's until the final completion.
        unsafe { address.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        under_way.moved += bytes.len() as u32;
        if bytes.is_empty() || under_way.moved == entry.len {
            Step::Ends(under_way.moved as i32)
        } else {
            Step::GoesOn
        }
    }

    /// The socket takes nothing, or a part, or all.
    fn send(&mut self, entry: &Entry) -> Step {
        if self.random.once_in(4) {
            return Step::Ends(-libc::EAGAIN);
        }
        // SAFETY: header, vectors and parts are readable and unwritten until the final completion.
        let bytes = unsafe {
            let header = memory::<libc::msghdr>(entry.address).read();
            let parts = std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen);
            gathered(parts)
        };
        let taken = if self.random.once_in(2) {
            bytes.len()
        } else {
            1 + self.random.below(bytes.len())
        };
        self.shared
            .sockets
            .arrive(entry.descriptor, bytes[..taken].to_vec());
        Step::Ends(taken as i32)
    }

    /// A part of a read or a write.
    fn transfer(&mut self, under_way: &mut UnderWay, call: fn(&Entry, u32, u32) -> i32) -> Step {
        let left = under_way.entry.len - under_way.moved;
        if self.random.once_in(8) {
            return Step::Ends(-libc::EINTR);
        }
        let part = 1 + self.random.below(left as usize) as u32;
        let moved = call(&under_way.entry, under_way.moved, part);
        if moved < 0 {
            return Step::Ends(moved);
        }
        under_way.moved += moved as u32;
        let stops = moved == 0 || under_way.moved == under_way.entry.len || self.random.once_in(8);
        if stops {
            Step::Ends(under_way.moved as i32)
        } else {
            Step::GoesOn
        }
    }

    fn connect(&mut self, entry: &Entry) -> i32 {
        // SAFETY: the address is the core's until the final completion.
        let address =
            unsafe { std::slice::from_raw_parts(memory::<u8>(entry.address), entry.offset as usize) };
        assert!(crate::address::parse(address).is_some(), "an address");
        self.shared.sockets.connected(entry.descriptor);
        if self.random.once_in(2) {
            0
        } else {
            -libc::ECONNREFUSED
        }
    }

    /// Marks what the cancellation finds; it ends later.
    fn cancel(&mut self, cancel: &Entry) -> i32 {
        let any = cancel.operation_flags & CANCEL_ANY != 0;
        for under_way in &mut self.under_way {
            under_way.cancelled |= any || under_way.entry.descriptor == cancel.descriptor;
        }
        0
    }
}

/// The bytes of some parts.
///
/// # Safety
/// Every part is readable memory.
pub(super) unsafe fn gathered(parts: &[libc::iovec]) -> Vec<u8> {
    // SAFETY: the caller's promise.
    let slice =
        |part: &libc::iovec| unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) };
    parts.iter().map(slice).collect::<Vec<_>>().concat()
}

fn send_datagram(entry: &Entry) -> Step {
    // SAFETY: address and bytes are the core's until the final completion.
    let (to, bytes) = unsafe {
        (
            std::slice::from_raw_parts(memory::<u8>(entry.offset), usize::from(entry.address_len)),
            std::slice::from_raw_parts(memory::<u8>(entry.address), entry.len as usize),
        )
    };
    let to = crate::address::parse(to).expect("an address");
    let said = far::speech(u64::from(to.port()), 0, bytes.len());
    assert_eq!(bytes, said, "a datagram changed before it was sent");
    Step::Ends(entry.len as i32)
}

fn pread(entry: &Entry, moved: u32, len: u32) -> i32 {
    let address = memory(entry.address + u64::from(moved));
    let offset = (entry.offset + u64::from(moved)) as i64;
    // SAFETY: the bytes are the kernel's until the final completion.
    outcome(unsafe { libc::pread(entry.descriptor, address, len as usize, offset) })
}

fn pwrite(entry: &Entry, moved: u32, len: u32) -> i32 {
    let address = memory(entry.address + u64::from(moved));
    let offset = (entry.offset + u64::from(moved)) as i64;
    // SAFETY: the bytes are readable and unwritten until the final completion.
    outcome(unsafe { libc::pwrite(entry.descriptor, address, len as usize, offset) })
}

/// The flags in a `struct open_how`, its first field.
fn flags_of_how(entry: &Entry) -> i32 {
    // SAFETY: the structure is the core's until the final completion.
    unsafe { *memory::<u64>(entry.offset) as i32 }
}

fn open(entry: &Entry, flags: i32) -> i32 {
    // SAFETY: the path is the core's until the final completion.
    let path = unsafe { CStr::from_ptr(memory(entry.address)) };
    let opened: io::Result<File> = OpenOptions::new()
        .read(true)
        .write(flags & libc::O_RDWR != 0)
        .create(flags & libc::O_CREAT != 0)
        .open(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())));
    match opened {
        Ok(file) => file.into_raw_fd(),
        Err(error) => -error.raw_os_error().expect("an error of the system"),
    }
}

fn statx(entry: &Entry) -> i32 {
    let (path, mask) = (memory(entry.address), entry.len);
    // SAFETY: the path and the place for the answer are the core's until the final completion.
    let result = unsafe { libc::statx(entry.descriptor, path, 0, mask, memory(entry.offset)) };
    outcome(result as isize)
}

/// What a system call would have been answered with inside the kernel.
fn outcome(result: isize) -> i32 {
    if result < 0 {
        -io::Error::last_os_error()
            .raw_os_error()
            .expect("an error of the system")
    } else {
        result as i32
    }
}
