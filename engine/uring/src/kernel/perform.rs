//! Operations into ring entries.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use io_uring::{opcode, types};
use shoal_world::{Access, Completion, CoreIndex, EXTENT_LEN, Errno, Gather, Op, Part, Socket};

use super::datagrams::Datagrams;
use super::{Kernel, Kind};
use crate::files::{Lookup, Syncing, Transfer, Writing, c_path};
use crate::mailbox::HandedOver;
use crate::memory::Arena;
use crate::received::{Received, Shape};
use crate::sockets::Closing;
use crate::stamp::STATX_MASK;

/// Permissions of a file that is made here, less what the process's umask takes: its owner decides who may read.
const FILE_MODE: u64 = 0o666;

/// Without waiting: a pipe that stands where a file should would otherwise hold a worker for ever.
const OPEN_FLAGS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK;

/// How files are opened that are written. The path has no links, or somebody put one there since it was made: then it may
/// lead anywhere, and nothing is written.
static WRITE_HOW: types::OpenHow = types::OpenHow::new()
    .flags((libc::O_RDWR | libc::O_CREAT | OPEN_FLAGS) as u64)
    .mode(FILE_MODE)
    .resolve(libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS);

impl Kernel {
    pub(super) fn perform(&mut self, op: Op) {
        match op {
            Op::Accept => self.accept(),
            Op::Connect {
                token,
                address,
                timeout,
            } => self.connect(token, address, timeout),
            Op::ReceiveExact { socket, len } => self.receive_exact(socket, len),
            Op::Receive { socket } => self.receive(socket),
            Op::ReceivePayload { socket } => {
                let payload = self.has_payload_buffers();
                self.sockets.expect_open(socket).payload = payload;
                self.receive(socket);
            }
            Op::Send { socket, gather } => self.send(socket, gather),
            Op::SendFramed {
                socket,
                frame,
                start,
                len,
            } => {
                let connection = self.sockets.expect_open(socket);
                let result = self.memory.frames.send(connection.borrowed(), frame, start, len);
                self.ready.push(Completion::Sent { socket, result });
            }
            Op::AwaitWritable { socket } => self.await_writable(socket),
            Op::Close { socket } => self.close(socket),
            Op::HandOver { socket, core, first } => self.hand_over(socket, core, first),
            Op::Open { token, path, access } => self.open(token, &path, access),
            Op::Read {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => self.begin_reading(Transfer {
                token,
                file,
                offset,
                extent,
                start,
                len,
                moved: 0,
            }),
            Op::Write {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => self.begin_writing(Transfer {
                token,
                file,
                offset,
                extent,
                start,
                len,
                moved: 0,
            }),
            Op::Sync { token, file } => self.sync(Syncing { token, file }),
            Op::Hash { token, parts } => self.hash(token, &parts),
            Op::Stamp { token, path } => self.stamp(token, &path),
            Op::CloseFile { file } => self.files.remove(file),
            Op::Fill { frame, gather } => {
                let mut vectors = self.vectors(&gather);
                // SAFETY: the vectors point into `gather`, which lives for the call, and into the arena.
                let result = unsafe { self.memory.frames.fill(frame, &mut vectors) };
                self.ready.push(Completion::Filled { frame, result });
            }
            Op::Discard { frame } => self.memory.frames.discard(frame),
            Op::ReceiveDatagrams => self.begin_receiving_datagrams(),
            Op::SendDatagram { to, bytes } => self.send_datagram(to, bytes),
        }
    }

    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        if self.accepting {
            return;
        }
        self.accepting = true;
        // Non-blocking, so that `sendfile` is; the ring's own operations wait by polling either way.
        let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
            .build();
        self.push(&entry.user_data(Kind::Accept.on_slot(0)));
    }

    fn receive_exact(&mut self, socket: Socket, len: u32) {
        let connection = self.sockets.expect_open(socket);
        assert!(!connection.is_asked_for(), "two receives on one socket");
        let bytes = connection.exact.insert(vec![0; len as usize]);
        let entry = opcode::Recv::new(types::Fd(connection.stream.as_raw_fd()), bytes.as_mut_ptr(), len)
            .flags(libc::MSG_WAITALL)
            .build();
        self.push(&entry.user_data(Kind::ReceiveExact.on_socket(socket)));
    }

    pub(super) fn receive(&mut self, socket: Socket) {
        let connection = self.sockets.expect_open(socket);
        assert!(!connection.is_asked_for(), "two receives on one socket");
        connection.receiving = true;
        let buffers = match &self.memory.payload {
            Some(payload) if connection.payload => payload,
            _ => &self.memory.received,
        };
        let group = buffers.shape().group;
        let entry = opcode::RecvMulti::new(types::Fd(connection.raw()), group).build();
        self.push(&entry.user_data(Kind::Receive.on_socket(socket)));
    }

    /// Maps the buffers for payload when they are needed first. Without memory for them the small ones serve.
    fn has_payload_buffers(&mut self) -> bool {
        if self.memory.payload.is_some() {
            return true;
        }
        let shape = Shape::payload(self.memory.received.shape());
        let Ok(payload) = Received::new(shape) else {
            return false;
        };
        // SAFETY: the buffers live in `memory`, which outlives the ring's use of them.
        let registered = unsafe { payload.register(&self.ring) };
        if registered.is_ok() {
            self.memory.payload = Some(payload);
        }
        registered.is_ok()
    }

    /// Buffers ran out for these; start them again as buffers come back.
    pub(super) fn restart_parked(&mut self) {
        if self.memory.received.has_room() && self.datagrams.as_ref().is_some_and(Datagrams::is_parked) {
            self.receive_datagrams();
        }
        for _ in 0..self.parked.len() {
            let Some(socket) = self.parked.pop_front() else {
                return;
            };
            let Some(connection) = self.sockets.get(socket) else {
                continue;
            };
            if !connection.parked || connection.closing.is_some() {
                continue;
            }
            if self.memory.has_room(connection.payload) {
                connection.parked = false;
                self.receive(socket);
            } else {
                self.parked.push_back(socket);
            }
        }
    }

    fn send(&mut self, socket: Socket, gather: Box<Gather>) {
        let vectors = self.vectors(&gather);
        let connection = self.sockets.expect_open(socket);
        let fd = types::Fd(connection.raw());
        let header = connection.begins_sending(gather, vectors);
        let entry = opcode::SendMsg::new(fd, header)
            .flags((libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u32)
            .build();
        self.push(&entry.user_data(Kind::Send.on_socket(socket)));
    }

    /// Where the parts of a gather stand in memory. They stay there: a gather is boxed or borrowed, the arena mapped.
    fn vectors(&self, gather: &Gather) -> Vec<libc::iovec> {
        let part = |part: &Part| match *part {
            Part::Bytes { start, len } => {
                let bytes = &gather.bytes[start as usize..][..len as usize];
                libc::iovec {
                    iov_base: bytes.as_ptr().cast_mut().cast(),
                    iov_len: bytes.len(),
                }
            }
            Part::Extent { extent, start, len } => libc::iovec {
                iov_base: self.memory.arena.address(extent, start, len).cast(),
                iov_len: len as usize,
            },
        };
        gather.parts.iter().map(part).collect()
    }

    fn await_writable(&mut self, socket: Socket) {
        let connection = self.sockets.expect_open(socket);
        assert!(!connection.polling, "two polls on one socket");
        connection.polling = true;
        let entry = opcode::PollAdd::new(types::Fd(connection.raw()), libc::POLLOUT as u32).build();
        self.push(&entry.user_data(Kind::Writable.on_socket(socket)));
    }

    /// Closing a descriptor does not end its operations: cancel them, wait for their completions, then close.
    fn close(&mut self, socket: Socket) {
        let connection = self.sockets.expect(socket);
        assert!(connection.closing.is_none(), "a socket was closed twice");
        if connection.is_quiet() {
            let closed = self.closed(socket);
            self.ready.push(closed);
            return;
        }
        connection.closing = Some(Closing::Cancelling);
        let cancel = types::CancelBuilder::fd(types::Fd(connection.raw())).all();
        let entry = opcode::AsyncCancel2::new(cancel).build();
        self.push(&entry.user_data(Kind::Cancel.on_socket(socket)));
    }

    /// Closes a socket on which nothing is under way any more.
    /// The completion must be delivered before any of a later life of the slot.
    pub(super) fn closed(&mut self, socket: Socket) -> Completion {
        drop(self.sockets.remove(socket));
        Completion::Closed { socket }
    }

    fn hand_over(&mut self, socket: Socket, core: CoreIndex, first: Vec<u8>) {
        let connection = self.sockets.remove(socket);
        assert!(
            !connection.is_asked_for(),
            "a socket was handed over with a receive under way"
        );
        let address: SocketAddr = connection.address;
        let stream = OwnedFd::from(connection.stream);
        self.mailboxes[usize::from(core.0)].hand_over(HandedOver {
            stream,
            address,
            first,
        });
    }

    fn open(&mut self, token: u32, path: &Path, access: Access) {
        match c_path(path) {
            Ok(path) => self.look_up(Lookup::Open { token, path, access }),
            Err(refusal) => self.ready.push(Completion::Opened {
                token,
                result: Err(refusal),
            }),
        }
    }

    fn stamp(&mut self, token: u32, path: &Path) {
        match c_path(path) {
            Ok(path) => {
                // SAFETY: `statx` is plain data for which all zeroes is a value.
                let raw = Box::new(unsafe { std::mem::zeroed() });
                self.look_up(Lookup::Stamp { token, path, raw });
            }
            Err(refusal) => self.ready.push(Completion::Stamped {
                token,
                result: Err(refusal),
            }),
        }
    }

    fn look_up(&mut self, lookup: Lookup) {
        let entry = self.lookups.vacant_entry();
        let user_data = Kind::Lookup.on_slot(entry.key());
        let here = types::Fd(libc::AT_FDCWD);
        let entry = match entry.insert(lookup) {
            Lookup::Open { path, access, .. } => match access {
                Access::Read => opcode::OpenAt::new(here, path.as_ptr())
                    .flags(libc::O_RDONLY | OPEN_FLAGS)
                    .build(),
                Access::Write => opcode::OpenAt2::new(here, path.as_ptr(), &raw const WRITE_HOW).build(),
            },
            Lookup::Stamp { path, raw, .. } => {
                opcode::Statx::new(here, path.as_ptr(), (&raw mut **raw).cast())
                    .mask(STATX_MASK)
                    .build()
            }
        };
        self.push(&entry.user_data(user_data));
    }

    fn begin_reading(&mut self, read: Transfer) {
        assert!(read.is_whole_pages(), "a read of something else than whole pages");
        self.files.starts(read.file);
        self.read(read);
    }

    fn begin_writing(&mut self, write: Transfer) {
        assert!(write.len > 0, "a write of nothing");
        assert!(
            u64::from(write.start) + u64::from(write.len) <= u64::from(EXTENT_LEN),
            "a range outside its extent"
        );
        self.files.starts(write.file);
        if let Some(gathered) = &mut self.gathered
            && gathered.join(&write, Arena::buffer_index)
        {
            return;
        }
        self.write_gathered();
        self.gathered = Some(Writing {
            transfer: write,
            more: Vec::new(),
        });
    }

    /// Submits the writes that were gathered.
    pub(super) fn write_gathered(&mut self) {
        if let Some(writing) = self.gathered.take()
            && let Err((writing, errno)) = self.write(writing)
        {
            let mut ready = std::mem::take(&mut self.ready);
            self.wrote(&writing, Err(errno), &mut ready);
            self.ready = ready;
        }
    }

    /// Submits what is left of a read.
    pub(super) fn read(&mut self, read: Transfer) {
        let fd = types::Fd(self.files.raw(read.file));
        let (len, offset) = (read.left(), read.next_offset());
        let address = self.memory.arena.address(read.extent, read.next_start(), len);
        let entry = if self.memory.arena.registered {
            let index = Arena::buffer_index(read.extent);
            opcode::ReadFixed::new(fd, address, len, index)
                .offset(offset)
                .build()
        } else {
            opcode::Read::new(fd, address, len).offset(offset).build()
        };
        let slot = self.reads.insert(read);
        self.push(&entry.user_data(Kind::Read.on_slot(slot)));
    }

    /// Submits what is left of a write, unless there is no descriptor that takes it.
    pub(super) fn write(&mut self, writing: Writing) -> Result<(), (Writing, Errno)> {
        let write = writing.transfer;
        let fd = match self.files.raw_for(&write) {
            Ok(fd) => types::Fd(fd),
            Err(errno) => return Err((writing, errno)),
        };
        let (len, offset) = (write.left(), write.next_offset());
        let address = self
            .memory
            .arena
            .address_across(write.extent, write.next_start(), len);
        let entry = if self.memory.arena.registered {
            let index = Arena::buffer_index(write.extent);
            opcode::WriteFixed::new(fd, address, len, index)
                .offset(offset)
                .build()
        } else {
            opcode::Write::new(fd, address, len).offset(offset).build()
        };
        let slot = self.writes.insert(writing);
        self.push(&entry.user_data(Kind::Write.on_slot(slot)));
        Ok(())
    }

    /// One descriptor speaks for the file: what went through the other is in the same pages, and so are its errors.
    fn sync(&mut self, syncing: Syncing) {
        self.files.starts(syncing.file);
        let fd = types::Fd(self.files.raw(syncing.file));
        let slot = self.syncs.insert(syncing);
        let entry = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        self.push(&entry.user_data(Kind::Sync.on_slot(slot)));
    }
}
