//! The world as Linux provides it: one ring, and everything that goes through it.
//!
//! [`Kernel::turn`] is the whole interface of a core: it performs operations, enters the kernel once, sleeps there
//! when nothing is ready, and hands back everything that completed. Sends of framed extents are performed by the
//! ring's owner with `sendfile`, because a ring's own splice always goes to a worker thread; to the shard they are
//! operations like all others.
//!
//! It does not know what the bytes mean, and decides nothing but how an operation is carried out.
//!
//! Invariants: whatever the kernel may write to or read from is owned here until the final completion (no `MORE`
//! flag); user data carries kind, generation and slot; a socket closes after everything on it ended.

mod connecting;
mod datagrams;
mod hashing;
mod perform;
mod reap;

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::{opcode, squeue, types};
use shoal_world::{Buffer, Completion, Extent, FRAME_LEN, Op, Pool, Socket, Time};
use slab::Slab;

use self::connecting::Connecting;
use self::datagrams::Datagrams;
use self::hashing::Hashing;
use crate::descriptors;
use crate::files::{Files, Lookup, Syncing, Transfer, Writing};
use crate::frames::Frames;
use crate::hash::pool;
use crate::mailbox::Mailbox;
use crate::memory::Arena;
use crate::received::{BUFFERS_LEN, Received, Shape};
use crate::ring::{Ring, Sleep};
use crate::setup::Refused;
use crate::sockets::Sockets;
use crate::tcp::CongestionControl;

pub use self::hashing::JOBS_PER_CORE_MAX;

/// How payload is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// Around the page cache where the file system supports it, through it elsewhere.
    #[default]
    Auto,
    /// Around the page cache always, but for the edges of writes that fill no page; files that refuse fail.
    Direct,
    /// Through the page cache always.
    Buffered,
}

/// What a kernel world is made of.
#[derive(Debug)]
pub struct Options {
    /// Extents of the arena.
    pub extents: u32,
    /// Framed extents at most.
    pub frames: u32,
    /// How payload is read and written.
    pub io_mode: IoMode,
    /// Where connections come from; none for a core that only gets them handed over.
    pub listener: Option<TcpListener>,
    /// Where datagrams come and go. Without it none may be asked for or sent.
    pub datagrams: Option<UdpSocket>,
    /// The boxes of all cores.
    pub mailboxes: Arc<[Mailbox]>,
    /// Which of them is this core's.
    pub core: usize,
    /// The threads that hash for all cores, with room for [`JOBS_PER_CORE_MAX`] waiting jobs of each. Without them
    /// nothing may be hashed.
    pub hashing: Option<Arc<pool::Pool>>,
    /// When the world began, the same for all cores.
    pub began: Instant,
}

/// How long the end of a world waits for the kernel to let go of its memory. Reads end within a disk's patience;
/// what hangs longer (a dead network file system) keeps its memory instead.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The received bytes, extents and framed extents of a core.
pub struct Memory {
    pub(crate) arena: Arena,
    pub(crate) received: Received,
    /// For payload, since some was expected.
    pub(crate) payload: Option<Received>,
    pub(crate) frames: Frames,
}

impl Memory {
    fn buffers(&self, buffer: Buffer) -> &Received {
        match &self.payload {
            Some(payload) if payload.holds(buffer) => payload,
            _ => &self.received,
        }
    }

    pub(crate) fn buffers_mut(&mut self, buffer: Buffer) -> &mut Received {
        match &mut self.payload {
            Some(payload) if payload.holds(buffer) => payload,
            _ => &mut self.received,
        }
    }

    /// Whether enough buffers are free for receives to start again.
    pub(crate) fn has_room(&self, payload: bool) -> bool {
        match &self.payload {
            Some(buffers) if payload => buffers.has_room(),
            _ => self.received.has_room(),
        }
    }
}

impl Pool for Memory {
    fn received(&self, buffer: Buffer) -> &[u8] {
        self.buffers(buffer).bytes(buffer)
    }

    fn release(&mut self, buffer: Buffer) {
        self.buffers_mut(buffer).release(buffer);
    }

    fn store(&mut self, buffer: Buffer, start: u32, len: u32, extent: Extent, at: u32) {
        let to = self.arena.address(extent, at, len);
        let from = &self.buffers(buffer).bytes(buffer)[start as usize..][..len as usize];
        // SAFETY: the bytes lie in the arena, which overlaps no received buffer, and no operation names them: neither
        // the kernel nor a hashing thread looks at them, and the arena is never borrowed.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }

    fn extents(&self) -> u32 {
        self.arena.extents()
    }

    fn frames(&self) -> u32 {
        self.frames.count()
    }
}

/// One core's ring and all that belongs to it. It is made, used and dropped on one thread.
pub struct Kernel {
    ring: Ring,
    /// Dropped once the ring is drained; kept for ever when it could not be.
    memory: ManuallyDrop<Memory>,
    listener: Option<TcpListener>,
    accepting: bool,
    congestion_control: CongestionControl,
    sockets: Sockets,
    connects: Slab<Box<Connecting>>,
    /// Receives that wait for free buffers.
    parked: VecDeque<Socket>,
    files: Files,
    reads: Slab<Transfer>,
    writes: Slab<Writing>,
    /// Writes of this turn that follow each other and go to the kernel as one.
    gathered: Option<Writing>,
    syncs: Slab<Syncing>,
    lookups: Slab<Lookup>,
    hashing: Option<Hashing>,
    datagrams: Option<Datagrams>,
    /// What completed while it was performed.
    ready: Vec<Completion>,
    mailboxes: Arc<[Mailbox]>,
    core: usize,
    /// A poll of the doorbell is armed.
    listening_to_bell: bool,
    /// Entries whose final completion has not come.
    outstanding: u32,
    began: Instant,
}

/// What an entry of the ring is for: the upper eight bits of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Accept = 1,
    ReceiveExact,
    Receive,
    Send,
    Writable,
    Cancel,
    Read,
    Lookup,
    Bell,
    Drain,
    Connect,
    ConnectTimeout,
    Write,
    Sync,
    ReceiveDatagram,
    SendDatagram,
}

impl Kind {
    fn from_user_data(user_data: u64) -> Kind {
        match (user_data >> 56) as u8 {
            1 => Kind::Accept,
            2 => Kind::ReceiveExact,
            3 => Kind::Receive,
            4 => Kind::Send,
            5 => Kind::Writable,
            6 => Kind::Cancel,
            7 => Kind::Read,
            8 => Kind::Lookup,
            9 => Kind::Bell,
            10 => Kind::Drain,
            11 => Kind::Connect,
            12 => Kind::ConnectTimeout,
            13 => Kind::Write,
            14 => Kind::Sync,
            15 => Kind::ReceiveDatagram,
            16 => Kind::SendDatagram,
            other => panic!("the ring returned user data of no kind: {other}"),
        }
    }

    fn on_socket(self, socket: Socket) -> u64 {
        (self as u64) << 56 | u64::from(socket.generation) << 32 | u64::from(socket.slot)
    }

    fn on_slot(self, slot: usize) -> u64 {
        (self as u64) << 56 | slot as u64
    }
}

impl Kernel {
    /// Sets the ring and its memory up, on the thread that will use it.
    pub fn new(options: Options) -> Result<Kernel, Refused> {
        descriptors::raise_limit();
        let ring = Ring::new()?;
        let frames = Frames::new(options.frames)?;
        Ok(Kernel::on(ring, frames, BUFFERS_LEN, options)?)
    }

    /// The same on a ring that stands, with `buffers` provided buffers.
    pub(crate) fn on(ring: Ring, frames: Frames, buffers: u16, options: Options) -> io::Result<Kernel> {
        let mut arena = Arena::new(options.extents)?;
        // SAFETY: the arena is mapped until the ring was drained, or for ever.
        let registered = unsafe { ring.register_buffers(&arena.buffers()) };
        // Locked memory may be limited. Unregistered, a read maps its pages each time: dearer, not wrong.
        arena.registered = registered.is_ok();
        let received = Received::new(Shape::messages(buffers))?;
        // SAFETY: the buffers are mapped as long as the arena.
        unsafe { received.register(&ring)? };
        let (mailboxes, core) = (options.mailboxes, options.core);
        let hashing = options
            .hashing
            .map(|pool| Hashing::new(pool, Arc::clone(&mailboxes), core));
        Ok(Kernel {
            ring,
            memory: ManuallyDrop::new(Memory {
                arena,
                received,
                payload: None,
                frames,
            }),
            listener: options.listener,
            accepting: false,
            congestion_control: CongestionControl::of_system(),
            sockets: Sockets::default(),
            connects: Slab::new(),
            parked: VecDeque::new(),
            files: Files::new(options.io_mode),
            reads: Slab::new(),
            writes: Slab::new(),
            gathered: None,
            syncs: Slab::new(),
            lookups: Slab::new(),
            hashing,
            datagrams: options.datagrams.map(Datagrams::new),
            ready: Vec::new(),
            mailboxes,
            core,
            listening_to_bell: false,
            outstanding: 0,
            began: options.began,
        })
    }

    /// The world's clock.
    pub fn now(&self) -> Time {
        Time::from_ns(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The memory, for the shard to look into.
    pub fn pool(&mut self) -> &mut dyn Pool {
        &mut *self.memory
    }

    /// Largest cache of framed extents that fits `bytes`.
    pub fn frames_in(bytes: u64) -> u32 {
        u32::try_from(bytes / u64::from(FRAME_LEN)).unwrap_or(u32::MAX)
    }

    /// Performs `ops`, enters the kernel once and appends everything that completed to `done`.
    ///
    /// It sleeps until something completes, the doorbell rings or `deadline` comes, unless something is ready
    /// already or `awake` says after the sleep was announced that the core has work elsewhere.
    pub fn turn(
        &mut self,
        ops: &mut Vec<Op>,
        deadline: Option<Time>,
        awake: impl FnOnce() -> bool,
        done: &mut Vec<Completion>,
    ) {
        for op in ops.drain(..) {
            self.perform(op);
        }
        self.write_gathered();
        self.restart_parked();
        self.listen_to_bell();
        self.enter(deadline, awake);
        done.append(&mut self.ready);
        self.reap(done);
        self.take_hashed(done);
        self.open_mailbox(done);
    }

    fn enter(&mut self, deadline: Option<Time>, awake: impl FnOnce() -> bool) {
        let mut sleeps = self.ready.is_empty() && !self.ring.has_completed();
        let now = self.now();
        let hands_over = self.hashing.as_mut().and_then(|hashing| hashing.hand_over(now));
        let deadline = [deadline, hands_over].into_iter().flatten().min();
        if sleeps {
            let has_hashed = || self.hashing.as_ref().is_some_and(Hashing::has_results);
            sleeps = self.mailboxes[self.core].may_sleep(|| has_hashed() || awake());
        }
        let result = self.ring.enter(match deadline {
            _ if !sleeps => Sleep::No,
            None => Sleep::UntilWoken,
            Some(deadline) => Sleep::AtMost(deadline.since(self.now())),
        });
        self.mailboxes[self.core].bell().wakes();
        match result.map_err(|error| error.raw_os_error()) {
            // EBUSY: completions overflowed and must be taken first, which is what comes next.
            Ok(()) | Err(Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(error) => panic!("io_uring_enter refused what it accepted before: errno {error:?}"),
        }
    }

    /// Queues an entry whose memory this world owns until its final completion.
    fn push(&mut self, entry: &squeue::Entry) {
        self.push_linked(std::slice::from_ref(entry));
    }

    /// Queues entries that go to the kernel together: a link between two does not outlast a submission.
    fn push_linked(&mut self, entries: &[squeue::Entry]) {
        self.outstanding += entries.len() as u32;
        // SAFETY: every entry names descriptors and memory owned by `self`; see where each is made in `perform`.
        while !unsafe { self.ring.push(entries) } {
            // More entries in one turn than the queue holds: an early submission.
            if let Err(error) = self.ring.enter(Sleep::No) {
                let errno = error.raw_os_error();
                assert!(
                    matches!(errno, Some(libc::EBUSY | libc::EINTR | libc::EAGAIN)),
                    "io_uring_enter refused what it accepted before: {error}"
                );
            }
        }
    }

    fn listen_to_bell(&mut self) {
        if self.listening_to_bell {
            return;
        }
        self.listening_to_bell = true;
        let fd = types::Fd(self.mailboxes[self.core].bell().fd());
        let poll = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.push(&poll.user_data(Kind::Bell.on_slot(0)));
    }

    fn open_mailbox(&mut self, done: &mut Vec<Completion>) {
        while let Some(arrived) = self.mailboxes[self.core].take() {
            let socket = self.sockets.insert(arrived.stream, arrived.address);
            done.push(Completion::Arrived {
                socket,
                address: arrived.address,
                first: arrived.first,
            });
        }
    }

    /// Ends everything that is under way, so that no memory is the kernel's or a hashing thread's any more.
    fn drain(&mut self) -> io::Result<()> {
        let until = Instant::now() + DRAIN_MAX;
        while self
            .hashing
            .as_mut()
            .is_some_and(Hashing::is_under_way_at_the_end)
        {
            if Instant::now() > until {
                return Err(io::Error::from_raw_os_error(libc::ETIME));
            }
            // Once in the life of a core, and shorter than a job.
            thread::sleep(Duration::from_millis(1));
        }
        let all = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        self.push(&all.user_data(Kind::Drain.on_slot(0)));
        while self.outstanding > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from_raw_os_error(libc::ETIME));
            }
            match self.ring.enter(Sleep::AtMost(left)) {
                Err(error)
                    if !matches!(
                        error.raw_os_error(),
                        Some(libc::ETIME | libc::EINTR | libc::EBUSY)
                    ) =>
                {
                    return Err(error);
                }
                _ => {}
            }
            while let Some(completed) = self.ring.next() {
                self.outstanding -= u32::from(!completed.more());
            }
        }
        Ok(())
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.drain().is_ok() {
            // SAFETY: the memory is dropped here only, and no operation that names it is under way any more.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        } else {
            // Something hangs in the kernel and may still write: its memory is left to the process's end.
            std::mem::forget(std::mem::take(&mut self.lookups));
            std::mem::forget(std::mem::take(&mut self.sockets));
            std::mem::forget(std::mem::take(&mut self.connects));
            std::mem::forget(self.datagrams.take());
        }
    }
}

#[cfg(test)]
mod tests;
