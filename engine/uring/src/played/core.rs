//! A core that does whatever the contract allows, in an order that a seed decides, and checks what comes of it.
//!
//! It keeps the rules of a shard (an extent is not read into while a send or a write holds it, a frame is not discarded
//! while it is sent, a buffer is given back once), and knows at every moment which bytes each memory must hold: those
//! that arrived are compared when they are told of and again when their buffer is given back; those that were sent, when
//! the far end reads them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_world::{
    Access, Buffer, Completion, Errno, Extent, FRAME_LEN, File, Frame, Gather, Op, PAGE_LEN, Socket,
};
use tempfile::TempDir;

use super::far::{Far, speech};
use super::{Played, Random};
use crate::frames::{Frames, MemoryFile};
use crate::kernel::{IoMode, Kernel, Options};
use crate::mailbox::{HandedOver, Mailbox};
use crate::ring::Ring;

/// Few of everything, so that all of it is always in use.
const EXTENTS: u32 = 3;
const FRAMES: u32 = 2;
const BUFFERS: u16 = 8;
const CONNECTIONS: usize = 4;

/// How long a core sleeps before its test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of the file that is read.
const PAYLOAD_LEN: u64 = 5 * PAGE_LEN as u64 + 123;

/// Most bytes of an extent that one part of a gather takes. Miri looks at each of them.
const PART_LEN_MAX: usize = if cfg!(miri) { 700 } else { 9000 };

/// Bytes of the file that is read.
fn payload(offset: u64, len: u64) -> &'static [u8] {
    speech(77, offset, len as usize)
}

/// A connection, and what is known of it.
struct Connection {
    socket: Socket,
    far: Arc<Far>,
    seed: u64,
    /// Bytes that arrived and were told of.
    heard: u64,
    asked: Asked,
    sending: Option<Sending>,
    polling: bool,
    closing: bool,
    /// What the socket took, as far as told.
    sent: Vec<u8>,
    /// What the far end read.
    read: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    ForBytes,
    Ended,
}

/// A send under way: its bytes, and what it holds.
struct Sending {
    bytes: Vec<u8>,
    extents: Vec<Extent>,
    frame: Option<Frame>,
}

/// An extent: what it holds, and who holds it.
#[derive(Default)]
struct Room {
    bytes: Vec<u8>,
    pins: u32,
    is_read_into: bool,
}

/// A framed extent.
#[derive(Default)]
struct Framed {
    bytes: Option<Vec<u8>>,
    pins: u32,
}

/// A transfer between a file and an extent.
struct Transfer {
    extent: Extent,
    offset: u64,
    bytes: Vec<u8>,
}

/// The core. The kernel stands first: it ends before the one who plays the other side.
pub(super) struct Core {
    kernel: Kernel,
    played: Played,
    random: Random,
    ops: Vec<Op>,
    mailboxes: Arc<[Mailbox]>,
    /// Handed over, not yet told of.
    arriving: BTreeMap<SocketAddr, (Arc<Far>, u64)>,
    connections: Vec<Connection>,
    extents: Vec<Room>,
    frames: Vec<Framed>,
    held: Vec<(Buffer, Vec<u8>)>,
    reads: BTreeMap<u32, Transfer>,
    write: Option<Transfer>,
    /// Lookups and connects under way.
    asked: u32,
    tokens: u32,
    payload: Option<File>,
    output: Option<File>,
    written: Vec<u8>,
    directory: TempDir,
}

impl Core {
    pub(super) fn new(seed: u64) -> Core {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("payload"), payload(0, PAYLOAD_LEN)).unwrap();
        let played = Played::new(seed);
        let mailboxes: Arc<[Mailbox]> = Arc::new([Mailbox::new().unwrap()]);
        // Any socket does: nothing real is ever received on it.
        let datagrams = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let options = Options {
            extents: EXTENTS,
            frames: FRAMES,
            io_mode: IoMode::Buffered,
            listener: None,
            datagrams: Some(UdpSocket::from(datagrams)),
            mailboxes: Arc::clone(&mailboxes),
            core: 0,
            hashing: None,
            began: Instant::now(),
        };
        let frames = Frames::of(MemoryFile::Played(played.pages(seed)), FRAMES);
        let kernel = Kernel::on(Ring::Played(played.ring()), frames, BUFFERS, options).unwrap();
        let mut core = Core {
            kernel,
            played,
            random: Random::new(!seed),
            ops: vec![Op::ReceiveDatagrams],
            mailboxes,
            arriving: BTreeMap::new(),
            connections: Vec::new(),
            extents: (0..EXTENTS).map(|_| Room::default()).collect(),
            frames: (0..FRAMES).map(|_| Framed::default()).collect(),
            held: Vec::new(),
            reads: BTreeMap::new(),
            write: None,
            asked: 0,
            tokens: 0,
            payload: None,
            output: None,
            written: Vec::new(),
            directory,
        };
        core.open();
        core
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&mut self) {
        for (token, name, access) in [(0, "payload", Access::Read), (1, "output", Access::Write)] {
            let path = Arc::from(self.path(name));
            self.ops.push(Op::Open { token, path, access });
            self.asked += 1;
        }
        while self.asked > 0 {
            self.turn(true);
        }
    }

    /// Does one thing, if its rules allow it, and turns or does not.
    pub(super) fn step(&mut self) {
        match self.random.below(16) {
            0 => self.connect(),
            1 | 2 => self.receive(),
            3 | 4 => self.send(),
            5 => self.send_framed(),
            6 => self.await_writable(),
            7 if self.random.once_in(3) => self.close(),
            8 => self.read(),
            9 => self.write(),
            10 => self.fill(),
            11 => self.discard(),
            12 => self.look(),
            13 => self.send_datagram(),
            14 => self.read_far_end(),
            _ => self.release(),
        }
        if self.random.once_in(2) {
            self.turn(false);
        }
    }

    /// Closes everything, waits for the end of all that is under way, and checks what is left.
    pub(super) fn finish(mut self) {
        while !self.connections.is_empty() || !self.arriving.is_empty() {
            self.close();
            self.release();
            self.turn(true);
        }
        while !self.reads.is_empty() || self.write.is_some() || self.asked > 0 {
            self.turn(true);
        }
        // Datagrams keep coming: when no buffer was lost, all are full of them at last.
        while self.held.len() < usize::from(BUFFERS) {
            self.turn(true);
        }
        while !self.held.is_empty() {
            self.release();
        }
        assert!(
            self.extents
                .iter()
                .all(|room| room.pins == 0 && !room.is_read_into)
        );
        let files = [self.payload.unwrap(), self.output.unwrap()];
        self.ops.extend(files.map(|file| Op::CloseFile { file }));
        self.turn(false);
        assert_eq!(fs::read(self.path("output")).unwrap(), self.written);
    }

    fn token(&mut self) -> u32 {
        self.tokens += 1;
        self.tokens
    }

    /// One of the connections for which `fits` holds.
    fn pick(&mut self, fits: impl Fn(&Connection) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.connections.len())
            .filter(|index| !self.connections[*index].closing && fits(&self.connections[*index]))
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())])
    }

    fn connect(&mut self) {
        if !cfg!(miri) && self.random.once_in(4) {
            // Miri knows too few socket options to make the near end of a real connection.
            let token = self.token();
            let address = SocketAddr::from(([127, 0, 0, 1], 1));
            let timeout = Duration::from_secs(1);
            self.ops.push(Op::Connect {
                token,
                address,
                timeout,
            });
            self.asked += 1;
        } else if self.connections.len() + self.arriving.len() < CONNECTIONS {
            let seed = u64::from(self.token());
            let says = self.random.below(3000) as u64;
            let (stream, far, address) = self.played.far().connect(seed, says);
            self.arriving.insert(address, (far, seed));
            self.mailboxes[0].hand_over(HandedOver {
                stream,
                address,
                first: Vec::new(),
            });
        }
    }

    fn receive(&mut self) {
        let Some(index) = self.pick(|connection| connection.asked == Asked::No) else {
            return;
        };
        let len = 1 + self.random.below(300) as u32;
        let exactly = self.random.once_in(2);
        let connection = &mut self.connections[index];
        connection.asked = Asked::ForBytes;
        let socket = connection.socket;
        self.ops.push(if exactly {
            Op::ReceiveExact { socket, len }
        } else {
            Op::Receive { socket }
        });
    }

    /// Bytes of its own and of extents, and what they are.
    fn gather(&mut self) -> (Box<Gather>, Vec<u8>, Vec<Extent>) {
        let mut gather = Box::new(Gather::default());
        let (mut bytes, mut extents) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.random.below(4) {
            let own = speech(self.random.below(1000) as u64, 0, 1 + self.random.below(20));
            gather.push_bytes(own);
            bytes.extend_from_slice(own);
            let extent = self.random.below(EXTENTS as usize);
            let room = &self.extents[extent];
            if room.is_read_into || room.bytes.is_empty() {
                continue;
            }
            let start = self.random.below(room.bytes.len());
            let len = 1 + self.random.below((room.bytes.len() - start).min(PART_LEN_MAX));
            let extent = Extent(extent as u32);
            gather.push_extent(extent, start as u32, len as u32);
            bytes.extend_from_slice(&room.bytes[start..start + len]);
            extents.push(extent);
        }
        (gather, bytes, extents)
    }

    fn send(&mut self) {
        let Some(index) = self.pick(|connection| connection.sending.is_none()) else {
            return;
        };
        let (gather, bytes, extents) = self.gather();
        for extent in &extents {
            self.extents[extent.0 as usize].pins += 1;
        }
        let connection = &mut self.connections[index];
        connection.sending = Some(Sending {
            bytes,
            extents,
            frame: None,
        });
        self.ops.push(Op::Send {
            socket: connection.socket,
            gather,
        });
    }

    fn send_framed(&mut self) {
        let frame = self.random.below(FRAMES as usize);
        let Some(bytes) = self.frames[frame].bytes.clone() else {
            return;
        };
        let Some(index) = self.pick(|connection| connection.sending.is_none()) else {
            return;
        };
        let start = self.random.below(bytes.len());
        let len = 1 + self.random.below(bytes.len() - start);
        self.frames[frame].pins += 1;
        let frame = Frame(frame as u32);
        let connection = &mut self.connections[index];
        connection.sending = Some(Sending {
            bytes: bytes[start..start + len].to_vec(),
            extents: Vec::new(),
            frame: Some(frame),
        });
        let (start, len) = (start as u32, len as u32);
        self.ops.push(Op::SendFramed {
            socket: connection.socket,
            frame,
            start,
            len,
        });
    }

    fn await_writable(&mut self) {
        if let Some(index) = self.pick(|connection| !connection.polling) {
            let connection = &mut self.connections[index];
            connection.polling = true;
            self.ops.push(Op::AwaitWritable {
                socket: connection.socket,
            });
        }
    }

    fn close(&mut self) {
        if let Some(index) = self.pick(|_| true) {
            let connection = &mut self.connections[index];
            connection.closing = true;
            self.ops.push(Op::Close {
                socket: connection.socket,
            });
        }
    }

    fn read(&mut self) {
        let extent = self.random.below(EXTENTS as usize);
        let room = &mut self.extents[extent];
        if room.pins > 0 || room.is_read_into {
            return;
        }
        room.is_read_into = true;
        room.bytes.clear();
        let page = u64::from(PAGE_LEN);
        let offset = self.random.below(PAYLOAD_LEN.div_ceil(page) as usize) as u64 * page;
        let len = (1 + self.random.below(3) as u32) * PAGE_LEN;
        let until_end = u64::from(len).min(PAYLOAD_LEN - offset);
        let token = self.token();
        let extent = Extent(extent as u32);
        let bytes = payload(offset, until_end).to_vec();
        self.reads.insert(
            token,
            Transfer {
                extent,
                offset,
                bytes,
            },
        );
        let file = self.payload.unwrap();
        self.ops.push(Op::Read {
            token,
            file,
            offset,
            extent,
            start: 0,
            len,
        });
    }

    fn write(&mut self) {
        let extent = self.random.below(EXTENTS as usize);
        let room = &mut self.extents[extent];
        if self.write.is_some() || room.is_read_into || room.bytes.is_empty() {
            return;
        }
        room.pins += 1;
        let start = self.random.below(room.bytes.len());
        let len = 1 + self.random.below((room.bytes.len() - start).min(PART_LEN_MAX));
        let bytes = room.bytes[start..start + len].to_vec();
        let offset = self.random.below(PART_LEN_MAX) as u64;
        let extent = Extent(extent as u32);
        self.write = Some(Transfer {
            extent,
            offset,
            bytes,
        });
        let token = self.token();
        let file = self.output.unwrap();
        let (start, len) = (start as u32, len as u32);
        self.ops.push(Op::Write {
            token,
            file,
            offset,
            extent,
            start,
            len,
        });
    }

    fn fill(&mut self) {
        let frame = self.random.below(FRAMES as usize);
        if self.frames[frame].bytes.is_some() {
            return;
        }
        let (gather, bytes, _) = self.gather();
        assert!(bytes.len() <= FRAME_LEN as usize);
        self.frames[frame].bytes = Some(bytes);
        // Filled while it is performed; nothing later in this turn can read into the extents first.
        self.ops.push(Op::Fill {
            frame: Frame(frame as u32),
            gather,
        });
        self.turn(false);
    }

    fn discard(&mut self) {
        let frame = self.random.below(FRAMES as usize);
        let framed = &mut self.frames[frame];
        if framed.pins == 0 && framed.bytes.take().is_some() {
            self.ops.push(Op::Discard {
                frame: Frame(frame as u32),
            });
        }
    }

    fn look(&mut self) {
        let token = self.token();
        let path = Arc::from(self.path("payload"));
        self.ops.push(Op::Stamp { token, path });
        self.asked += 1;
        if let (Some(file), true) = (self.output, self.random.once_in(2)) {
            let token = self.token();
            self.ops.push(Op::Sync { token, file });
            self.asked += 1;
        }
    }

    fn send_datagram(&mut self) {
        let port = 1 + self.random.below(1000) as u16;
        let bytes = speech(u64::from(port), 0, self.random.below(200)).to_vec();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        self.ops.push(Op::SendDatagram { to, bytes });
    }

    fn read_far_end(&mut self) {
        if let Some(index) = self.pick(|_| true) {
            self.connections[index].read_far_end();
        }
    }

    /// Gives a buffer back, whose bytes nobody may have touched since.
    fn release(&mut self) {
        if !self.held.is_empty() {
            let (buffer, bytes) = self.held.swap_remove(self.random.below(self.held.len()));
            assert_eq!(
                self.kernel.pool().received(buffer),
                bytes,
                "a held buffer changed"
            );
            self.kernel.pool().release(buffer);
        }
    }

    /// A turn of the kernel, which sleeps if it `may`: then something must complete.
    fn turn(&mut self, may: bool) {
        let mut done = Vec::new();
        let deadline = self.kernel.now() + PATIENCE;
        self.kernel
            .turn(&mut self.ops, Some(deadline), || !may, &mut done);
        assert!(
            !may || !done.is_empty() || self.kernel.now() < deadline,
            "nothing completes any more"
        );
        for completion in done {
            self.completed(completion);
        }
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Arrived { socket, address, .. } => self.arrived(socket, address),
            Completion::Received { socket, buffer } => self.received(socket, buffer),
            Completion::ReceivedExact { socket, bytes } => {
                let connection = self.connection(socket);
                connection.asked = Asked::No;
                connection.hears(&bytes);
            }
            Completion::ReceiveEnded { socket, error } => {
                assert_eq!(error, None);
                self.connection(socket).asked = Asked::Ended;
            }
            Completion::Sent { socket, result } => self.sent(socket, result),
            Completion::Writable { socket } => self.connection(socket).polling = false,
            Completion::Closed { socket } => self.closed(socket),
            Completion::Opened { token, result } => {
                let file = Some(result.unwrap().file);
                *(if token == 0 {
                    &mut self.payload
                } else {
                    &mut self.output
                }) = file;
                self.asked -= 1;
            }
            Completion::Read { token, result } => {
                let Transfer {
                    extent,
                    offset,
                    bytes,
                } = self.reads.remove(&token).expect("a read");
                let read = result.unwrap();
                assert_eq!(
                    (read.len as usize, read.stamp.size),
                    (bytes.len(), PAYLOAD_LEN),
                    "at {offset}"
                );
                let room = &mut self.extents[extent.0 as usize];
                room.bytes = bytes;
                room.is_read_into = false;
            }
            Completion::Wrote { result, .. } => {
                result.unwrap();
                let Transfer {
                    extent,
                    offset,
                    bytes,
                } = self.write.take().expect("a write");
                self.extents[extent.0 as usize].pins -= 1;
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                self.written.resize(self.written.len().max(end), 0);
                self.written[start..end].copy_from_slice(&bytes);
            }
            Completion::Synced { result, .. } => {
                result.unwrap();
                self.asked -= 1;
            }
            Completion::Stamped { result, .. } => {
                assert_eq!(result.unwrap().size, PAYLOAD_LEN);
                self.asked -= 1;
            }
            Completion::Connected { result, .. } => {
                self.asked -= 1;
                self.ops.extend(result.ok().map(|socket| Op::Close { socket }));
            }
            Completion::Filled { result, .. } => assert_eq!(result, Ok(())),
            Completion::Datagram { from, buffer } => {
                let bytes = self.kernel.pool().received(buffer).to_vec();
                let said = speech(u64::from(from.port()), 0, bytes.len());
                assert_eq!(bytes, said, "a datagram changed on its way");
                self.held.push((buffer, bytes));
            }
            Completion::Accepted { .. } | Completion::AcceptPaused(_) | Completion::Hashed { .. } => {
                panic!("nobody asked for it: {completion:?}")
            }
        }
    }

    fn connection(&mut self, socket: Socket) -> &mut Connection {
        let mut all = self.connections.iter_mut();
        all.find(|connection| connection.socket == socket)
            .expect("a connection that is open")
    }

    fn arrived(&mut self, socket: Socket, address: SocketAddr) {
        let (far, seed) = self.arriving.remove(&address).expect("it was handed over");
        self.connections.push(Connection {
            socket,
            far,
            seed,
            heard: 0,
            asked: Asked::No,
            sending: None,
            polling: false,
            closing: false,
            sent: Vec::new(),
            read: Vec::new(),
        });
    }

    fn received(&mut self, socket: Socket, buffer: Buffer) {
        let bytes = self.kernel.pool().received(buffer).to_vec();
        self.connection(socket).hears(&bytes);
        self.held.push((buffer, bytes));
    }

    fn sent(&mut self, socket: Socket, result: Result<u32, Errno>) {
        let connection = self.connection(socket);
        let Sending {
            bytes,
            extents,
            frame,
        } = connection.sending.take().expect("a send");
        match result {
            Ok(len) => connection.sent.extend_from_slice(&bytes[..len as usize]),
            Err(errno) => assert_eq!(errno, Errno(libc::ECANCELED)),
        }
        for extent in extents {
            self.extents[extent.0 as usize].pins -= 1;
        }
        if let Some(frame) = frame {
            self.frames[frame.0 as usize].pins -= 1;
        }
    }

    fn closed(&mut self, socket: Socket) {
        let Some(index) = self
            .connections
            .iter()
            .position(|connection| connection.socket == socket)
        else {
            // One that this side began.
            return;
        };
        let mut connection = self.connections.swap_remove(index);
        assert!(
            connection.sending.is_none(),
            "a socket closed before its send was told"
        );
        connection.read_far_end();
        assert_eq!(
            connection.read, connection.sent,
            "all that was sent arrived, and nothing else"
        );
    }
}

impl Connection {
    /// The next bytes of the far end were told of.
    fn hears(&mut self, bytes: &[u8]) {
        let said = speech(self.seed, self.heard, bytes.len());
        assert_eq!(bytes, said, "from byte {} of a stream", self.heard);
        self.heard += bytes.len() as u64;
    }

    /// What arrived is what was sent; the last of it may not be told of yet.
    fn read_far_end(&mut self) {
        self.read.extend(self.far.read());
        let len = self.read.len().min(self.sent.len());
        assert!(self.read[..len] == self.sent[..len], "bytes changed on their way");
    }
}
