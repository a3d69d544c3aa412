//! The two closed lists: everything a shard can ask for, and everything it can be told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{Buffer, Extent, File, FileStamp, Frame, Gather, Part, Socket};

/// A core by its place in the list of cores, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreIndex(pub u16);

/// An error number of the operating system (`errno.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing; made when nothing stands there, in a directory that exists. No part of the path may be a
    /// symbolic link.
    Write,
}

/// What a shard asks for.
///
/// An operation that names a handle is ignored by no world: using a closed handle is a defect of the shard.
#[derive(Debug)]
pub enum Op {
    /// Accept connections until [`Completion::AcceptPaused`].
    Accept,
    /// Connect to a peer; answered by [`Completion::Connected`].
    Connect {
        /// The asker's number for this request.
        token: u32,
        /// Who is called.
        address: SocketAddr,
        /// After how long it is given up (ETIMEDOUT).
        timeout: Duration,
    },
    /// Receive exactly `len` bytes, once: the handshake. Nothing else may be receiving on the socket.
    ReceiveExact {
        /// Which connection.
        socket: Socket,
        /// How many bytes.
        len: u32,
    },
    /// Receive until the connection ends: one [`Completion::Received`] for each portion.
    Receive {
        /// Which connection.
        socket: Socket,
    },
    /// The same where payload is expected: in portions of up to 64 KiB instead of 4 KiB.
    ReceivePayload {
        /// Which connection.
        socket: Socket,
    },
    /// Send what the socket takes without waiting; answered by [`Completion::Sent`]. One at a time for a socket.
    Send {
        /// Which connection.
        socket: Socket,
        /// What to send.
        gather: Box<Gather>,
    },
    /// The same with bytes of a framed extent, by reference.
    SendFramed {
        /// Which connection.
        socket: Socket,
        /// Which framed extent.
        frame: Frame,
        /// First byte inside it.
        start: u32,
        /// Length in bytes.
        len: u32,
    },
    /// Say once, by [`Completion::Writable`], when the socket takes bytes again. Asked for after a short send.
    AwaitWritable {
        /// Which connection.
        socket: Socket,
    },
    /// End all that is under way on the socket and close it; answered by [`Completion::Closed`]. Before it only a
    /// send that is under way is told of: receives and waits for room end without a word, and what was received and
    /// not told yet is dropped.
    Close {
        /// Which connection.
        socket: Socket,
    },
    /// Give a connection on which nothing is under way to another core, with the bytes already read.
    /// It is gone here at once; the other core learns of it by [`Completion::Arrived`].
    HandOver {
        /// Which connection.
        socket: Socket,
        /// To which core.
        core: CoreIndex,
        /// What was received on it so far.
        first: Vec<u8>,
    },
    /// Open a file; answered by [`Completion::Opened`].
    Open {
        /// The asker's number for this request.
        token: u32,
        /// The path; relative paths are the process's.
        path: Arc<Path>,
        /// What for.
        access: Access,
    },
    /// Read into an extent; answered by [`Completion::Read`].
    Read {
        /// The asker's number for this request.
        token: u32,
        /// Which file.
        file: File,
        /// First byte in the file, a multiple of the page length.
        offset: u64,
        /// Where to.
        extent: Extent,
        /// First byte inside the extent, a multiple of the page length.
        start: u32,
        /// Length in bytes, a multiple of the page length; the file may end earlier.
        len: u32,
    },
    /// Write from an extent to a file that was opened for it; answered by [`Completion::Wrote`].
    ///
    /// Nothing needs to be aligned, but whole pages from a page's beginning are what a disk takes without a copy:
    /// a writer of odd ranges splits their edges off. Ranges of writes that are under way together do not overlap.
    Write {
        /// The asker's number for this request.
        token: u32,
        /// Which file.
        file: File,
        /// First byte in the file, which grows when it ends before the last one.
        offset: u64,
        /// Where from.
        extent: Extent,
        /// First byte inside the extent.
        start: u32,
        /// Length in bytes, at least 1.
        len: u32,
    },
    /// Make everything durable whose [`Completion::Wrote`] of this file was delivered; answered by
    /// [`Completion::Synced`]. The bytes and the file's length are, not its name in a directory.
    Sync {
        /// The asker's number for this request.
        token: u32,
        /// Which file.
        file: File,
    },
    /// Hash ranges of extents as one message (SHA-1); answered by [`Completion::Hashed`]. Extents that only hashes
    /// and sends name may be read by others meanwhile.
    Hash {
        /// The asker's number for this request.
        token: u32,
        /// The message in order; only [`Part::Extent`].
        parts: Vec<Part>,
    },
    /// Look at what stands under a path now; answered by [`Completion::Stamped`].
    Stamp {
        /// The asker's number for this request.
        token: u32,
        /// The path.
        path: Arc<Path>,
    },
    /// Close a file on which nothing is under way. It is gone at once and has no completion.
    CloseFile {
        /// Which file.
        file: File,
    },
    /// Write a framed extent that is empty; answered by [`Completion::Filled`].
    Fill {
        /// Which framed extent.
        frame: Frame,
        /// Its bytes from the start.
        gather: Box<Gather>,
    },
    /// Give the pages of a framed extent back, on which no send is under way. It is empty at once; no completion.
    Discard {
        /// Which framed extent.
        frame: Frame,
    },
    /// Receive datagrams for as long as the world lasts: one [`Completion::Datagram`] for each. Asked for once.
    /// Those longer than [`DATAGRAM_LEN_MAX`](crate::DATAGRAM_LEN_MAX) are lost, and those that come while no buffer
    /// is free may be.
    ReceiveDatagrams,
    /// Send a datagram. It has no completion: what the network or the own system does not take is lost, as any
    /// datagram may be, and whoever needs an answer asks again.
    SendDatagram {
        /// To whom.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
}

/// Why the world stopped accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptPause {
    /// No descriptors are left in the process or the system (EMFILE, ENFILE): ask again when a connection closed.
    NoDescriptors,
    /// Another error, for example memory of the network stack (ENOBUFS, ENOMEM): ask again later.
    Other(Errno),
}

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its handle.
    pub file: File,
    /// What it was at the moment it was opened.
    pub stamp: FileStamp,
}

/// A read that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// Bytes that arrived; fewer than asked for means that the file ended there.
    pub len: u32,
    /// What the file was after these bytes had been read.
    pub stamp: FileStamp,
}

/// Why a path could not be opened or looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The operating system says no.
    Errno(Errno),
    /// It is there but not a regular file (directory, device, pipe, socket).
    NotRegular,
}

/// What a shard is told.
#[derive(Debug)]
pub enum Completion {
    /// A connection came in.
    Accepted {
        /// Its handle.
        socket: Socket,
        /// Who it is.
        address: SocketAddr,
    },
    /// Accepting ended; [`Op::Accept`] starts it again.
    AcceptPaused(AcceptPause),
    /// Another core handed a connection over.
    Arrived {
        /// Its handle here.
        socket: Socket,
        /// Who it is.
        address: SocketAddr,
        /// What was received on it so far.
        first: Vec<u8>,
    },
    /// A peer was reached, or not.
    Connected {
        /// The asker's number.
        token: u32,
        /// The connection.
        result: Result<Socket, Errno>,
    },
    /// All the bytes that [`Op::ReceiveExact`] asked for.
    ReceivedExact {
        /// Which connection.
        socket: Socket,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Some bytes came; more may follow.
    Received {
        /// Which connection.
        socket: Socket,
        /// Where they are; the shard releases it.
        buffer: Buffer,
    },
    /// Nothing more will be received: the final completion of either receive.
    ReceiveEnded {
        /// Which connection.
        socket: Socket,
        /// `None`: the other side closed in order.
        error: Option<Errno>,
    },
    /// A send ended.
    Sent {
        /// Which connection.
        socket: Socket,
        /// How many bytes the socket took, possibly 0 and possibly fewer than asked for.
        result: Result<u32, Errno>,
    },
    /// The socket takes bytes again, or has failed, which the next send will tell.
    Writable {
        /// Which connection.
        socket: Socket,
    },
    /// The connection is gone; its slot may return under another generation.
    Closed {
        /// Which connection.
        socket: Socket,
    },
    /// A file was opened, or not.
    Opened {
        /// The asker's number.
        token: u32,
        /// The file.
        result: Result<Opened, Refusal>,
    },
    /// A read ended.
    Read {
        /// The asker's number.
        token: u32,
        /// How.
        result: Result<ReadDone, Errno>,
    },
    /// A write ended.
    Wrote {
        /// The asker's number.
        token: u32,
        /// All bytes were taken, or an error: then nobody knows which of them were.
        result: Result<(), Errno>,
    },
    /// A file was made durable, or not: then what was written since the last time may be lost.
    Synced {
        /// The asker's number.
        token: u32,
        /// How.
        result: Result<(), Errno>,
    },
    /// A message was hashed.
    Hashed {
        /// The asker's number.
        token: u32,
        /// Its SHA-1.
        digest: [u8; 20],
    },
    /// What stands under a path.
    Stamped {
        /// The asker's number.
        token: u32,
        /// The stamp.
        result: Result<FileStamp, Refusal>,
    },
    /// A framed extent was written, or not.
    Filled {
        /// Which framed extent.
        frame: Frame,
        /// How.
        result: Result<(), Errno>,
    },
    /// A datagram came.
    Datagram {
        /// Who sent it, or whom its sender pretends to be.
        from: SocketAddr,
        /// Its payload, all of it and nothing else; the shard releases it.
        buffer: Buffer,
    },
}
