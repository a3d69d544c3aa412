//! What cases are written with: a world with two cores and far ends, and the words to drive it.
//!
//! A [`Stage`] hands every completion to the case, in order: [`Stage::next`] waits for the next one, so a case that
//! expects something else fails with what came instead.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use shoal_world::{
    Access, Completion, EXTENT_LEN, Errno, Extent, File, Gather, Op, Opened, Pool, ReadDone, Refusal, Socket,
};

/// The far end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Far(pub(crate) usize);

/// What somebody else does to a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// Writes over its first bytes.
    Write(&'a [u8]),
    /// Sets its length.
    Truncate(u64),
    /// Moves its change time and nothing else.
    Touch,
    /// Allows everybody to execute it.
    Mode,
    /// Takes its name away.
    Delete,
}

/// Whether a turn waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Until something completes.
    Waits,
    /// Not at all: what completes without anybody doing more.
    Looks,
}

/// A process of two cores with 8 extents, 4 framed extents and a hashing pool each, and what is around it.
pub(crate) trait World {
    /// Performs operations of a core and appends what completed.
    fn turn(&mut self, core: usize, ops: &mut Vec<Op>, turn: Turn, done: &mut Vec<Completion>);

    /// The memory of a core.
    fn pool(&mut self, core: usize) -> &mut dyn Pool;

    /// How many received buffers a core has.
    fn buffers(&self) -> usize;

    /// A far end that connected to core 0.
    fn dial(&mut self) -> (Far, SocketAddr);

    /// Where far ends are called.
    fn listen(&mut self) -> SocketAddr;

    /// The far end of the next connection to where far ends are called.
    fn answer(&mut self, at: SocketAddr) -> Far;

    /// Where nobody listens.
    fn refusing(&mut self) -> SocketAddr;

    /// Where nobody answers.
    fn silent(&mut self) -> SocketAddr;

    /// A far end sends bytes, which the world's socket has room for.
    fn say(&mut self, far: Far, bytes: &[u8]);

    /// A far end reads so many bytes; fewer when the stream ended.
    fn hear(&mut self, far: Far, len: usize) -> Vec<u8>;

    /// A far end says that nothing more follows, and still listens.
    fn finish(&mut self, far: Far);

    /// A far end closes.
    fn close(&mut self, far: Far);

    /// A far end breaks the connection.
    fn reset(&mut self, far: Far);

    /// Where datagrams for core 0 go.
    fn datagrams(&self) -> SocketAddr;

    /// A far socket for datagrams.
    fn bind(&mut self) -> SocketAddr;

    /// It sends one to core 0.
    fn send_datagram(&mut self, from: SocketAddr, bytes: &[u8]);

    /// It receives one: from whom, and what.
    fn receive_datagram(&mut self, at: SocketAddr) -> (SocketAddr, Vec<u8>);

    /// A directory of this world.
    fn directory(&self) -> Arc<Path>;

    /// A directory on a disk with room for so many bytes. `None` where none can be made.
    fn small_disk(&mut self, room: u64) -> Option<Arc<Path>>;

    /// That disk has room for as many again.
    fn make_room(&mut self);

    /// Puts a file under a name, over what stood there.
    fn put(&mut self, path: &Arc<Path>, bytes: &[u8]);

    /// Somebody does something to a file.
    fn change(&mut self, path: &Arc<Path>, change: Change<'_>);

    /// What somebody else reads under a name.
    fn content(&mut self, path: &Path) -> Vec<u8>;

    /// Waits until a change would have another stamp than those before.
    fn age(&mut self);
}

/// A world and what is known of its cores.
pub(crate) struct Stage {
    pub(crate) world: Box<dyn World>,
    cores: [Core; 2],
    accepts: bool,
}

#[derive(Default)]
struct Core {
    ops: Vec<Op>,
    /// Completed, and not yet looked at.
    done: VecDeque<Completion>,
}

impl Stage {
    pub(crate) fn new(world: Box<dyn World>) -> Stage {
        Stage {
            world,
            cores: [Core::default(), Core::default()],
            accepts: false,
        }
    }

    /// Asks core 0 with its next turn.
    pub(crate) fn ask(&mut self, op: Op) {
        self.ask_core(0, op);
    }

    pub(crate) fn ask_core(&mut self, core: usize, op: Op) {
        self.cores[core].ops.push(op);
    }

    /// The next completion of core 0.
    pub(crate) fn next(&mut self) -> Completion {
        self.next_of(0)
    }

    pub(crate) fn next_of(&mut self, core: usize) -> Completion {
        let Core { ops, done } = &mut self.cores[core];
        loop {
            if let Some(completion) = done.pop_front() {
                return completion;
            }
            let mut news = Vec::new();
            self.world.turn(core, ops, Turn::Waits, &mut news);
            done.extend(news);
        }
    }

    /// What completes on core 0 without anybody doing more.
    pub(crate) fn look(&mut self) -> Vec<Completion> {
        let Core { ops, done } = &mut self.cores[0];
        let mut news = done.drain(..).collect();
        self.world.turn(0, ops, Turn::Looks, &mut news);
        news
    }

    /// Panics if anything completes.
    pub(crate) fn assert_quiet(&mut self) {
        let news = self.look();
        assert!(news.is_empty(), "more completed: {news:?}");
    }

    /// A visitor of core 0.
    pub(crate) fn visitor(&mut self) -> (Far, Socket) {
        if !std::mem::replace(&mut self.accepts, true) {
            self.ask(Op::Accept);
            // Listening before anybody comes.
            self.assert_quiet();
        }
        let (far, from) = self.world.dial();
        match self.next() {
            Completion::Accepted { socket, address } => {
                assert_eq!(address, from);
                (far, socket)
            }
            other => panic!("not a visitor: {other:?}"),
        }
    }

    /// Takes the next portion of core 0, releases it, and returns its bytes.
    pub(crate) fn portion(&mut self, socket: Socket) -> Vec<u8> {
        match self.next() {
            Completion::Received { socket: from, buffer } => {
                assert_eq!(from, socket);
                let bytes = self.world.pool(0).received(buffer).to_vec();
                assert!(!bytes.is_empty(), "a portion without bytes");
                self.world.pool(0).release(buffer);
                bytes
            }
            other => panic!("not a portion: {other:?}"),
        }
    }

    /// Receives so many bytes, in as many portions as there are.
    pub(crate) fn receives(&mut self, socket: Socket, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.portion(socket));
        }
        assert_eq!(bytes.len(), len, "more bytes than were said");
        bytes
    }

    /// How a receive ended that is the next to complete.
    pub(crate) fn receive_ended(&mut self, socket: Socket) -> Option<Errno> {
        match self.next() {
            Completion::ReceiveEnded { socket: of, error } => {
                assert_eq!(of, socket);
                error
            }
            other => panic!("not the end of a receive: {other:?}"),
        }
    }

    /// The result of a send that is the next to complete.
    pub(crate) fn sent(&mut self, socket: Socket) -> Result<u32, Errno> {
        match self.next() {
            Completion::Sent { socket: of, result } => {
                assert_eq!(of, socket);
                result
            }
            other => panic!("not a send: {other:?}"),
        }
    }

    /// Sends all of these bytes, as often as it takes. The far end must have room for them.
    pub(crate) fn send(&mut self, socket: Socket, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let gather = gather(rest);
            self.ask(Op::Send { socket, gather });
            let took = self.sent(socket).expect("the connection stands") as usize;
            rest = &rest[took..];
        }
    }

    /// Closes, and expects nothing else to complete.
    pub(crate) fn closes(&mut self, socket: Socket) {
        self.ask(Op::Close { socket });
        self.closed(socket);
    }

    /// Expects the end of a socket to complete next.
    pub(crate) fn closed(&mut self, socket: Socket) {
        match self.next() {
            Completion::Closed { socket: of } => assert_eq!(of, socket),
            other => panic!("not the end of a socket: {other:?}"),
        }
    }

    /// The path of a name in the world's directory.
    pub(crate) fn path(&self, name: &str) -> Arc<Path> {
        Arc::from(self.world.directory().join(name))
    }

    /// Puts a file into the world's directory.
    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> Arc<Path> {
        let path = self.path(name);
        self.world.put(&path, bytes);
        path
    }

    pub(crate) fn open(&mut self, path: &Arc<Path>, access: Access) -> Result<Opened, Refusal> {
        let path = Arc::clone(path);
        self.ask(Op::Open {
            token: 11,
            path,
            access,
        });
        match self.next() {
            Completion::Opened { token: 11, result } => result,
            other => panic!("not an opened file: {other:?}"),
        }
    }

    /// Reads a whole extent from `offset` on.
    pub(crate) fn read(&mut self, file: File, offset: u64, extent: Extent) -> Result<ReadDone, Errno> {
        self.ask(Op::Read {
            token: 12,
            file,
            offset,
            extent,
            start: 0,
            len: EXTENT_LEN,
        });
        match self.next() {
            Completion::Read { token: 12, result } => result,
            other => panic!("not a read: {other:?}"),
        }
    }

    pub(crate) fn write(
        &mut self,
        file: File,
        offset: u64,
        extent: Extent,
        start: u32,
        len: u32,
    ) -> Result<(), Errno> {
        self.ask(Op::Write {
            token: 13,
            file,
            offset,
            extent,
            start,
            len,
        });
        match self.next() {
            Completion::Wrote { token: 13, result } => result,
            other => panic!("not a write: {other:?}"),
        }
    }

    pub(crate) fn sync(&mut self, file: File) -> Result<(), Errno> {
        self.ask(Op::Sync { token: 14, file });
        match self.next() {
            Completion::Synced { token: 14, result } => result,
            other => panic!("not a sync: {other:?}"),
        }
    }

    pub(crate) fn stamp(&mut self, path: &Arc<Path>) -> Result<shoal_world::FileStamp, Refusal> {
        let path = Arc::clone(path);
        self.ask(Op::Stamp { token: 15, path });
        match self.next() {
            Completion::Stamped { token: 15, result } => result,
            other => panic!("not a stamp: {other:?}"),
        }
    }

    /// Fills extents from 0 on with these bytes, by way of a file.
    pub(crate) fn load(&mut self, bytes: &[u8]) {
        let path = self.put("loaded", bytes);
        let file = self
            .open(&path, Access::Read)
            .expect("it was just put there")
            .file;
        for (extent, chunk) in bytes.chunks(EXTENT_LEN as usize).enumerate() {
            let offset = extent as u64 * u64::from(EXTENT_LEN);
            let read = self
                .read(file, offset, Extent(extent as u32))
                .expect("a healthy disk");
            assert_eq!(read.len as usize, chunk.len());
        }
        self.ask(Op::CloseFile { file });
    }

    /// What an extent of core 0 holds from its start: sent to a far end, because nobody else may look.
    pub(crate) fn extent(&mut self, extent: Extent, len: u32) -> Vec<u8> {
        let (far, socket) = self.visitor();
        let mut bytes = Vec::new();
        while (bytes.len() as u32) < len {
            let start = bytes.len() as u32;
            let mut gather = Box::new(Gather::default());
            gather.push_extent(extent, start, (len - start).min(16_384));
            self.ask(Op::Send { socket, gather });
            let took = self.sent(socket).expect("the connection stands") as usize;
            bytes.extend(self.world.hear(far, took));
        }
        self.world.close(far);
        self.closes(socket);
        bytes
    }
}

/// A gather of bytes alone.
pub(crate) fn gather(bytes: &[u8]) -> Box<Gather> {
    let mut gather = Box::new(Gather::default());
    gather.push_bytes(bytes);
    gather
}

/// Bytes that depend on nothing but their number, each page another.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    shoal_tests::random::Random::named("conformance").bytes(len)
}
