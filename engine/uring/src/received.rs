//! Provided buffers: what multishot receives land in.
//!
//! A ring of equal buffers that the kernel takes from when bytes arrive. A buffer is the kernel's, then the shard's
//! from its completion until it is given back; the table of what is shown says whose it is, so that giving back twice or
//! reading the kernel's is found at once.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{IoUring, types::BufRingEntry};
use shoal_world::Buffer;

use crate::memory::Mapping;

/// Length of a buffer in bytes: 240 requests of 17 bytes. Larger buffers would lie about, four a connection, for
/// traffic that is almost all requests.
pub(crate) const BUFFER_LEN: usize = 4096;

/// Buffers of a core, 4 MiB together: as many connections may deliver in one turn before anyone waits for a buffer.
const BUFFERS_LEN: u16 = 1024;

/// The group that receives name.
pub(crate) const GROUP: u16 = 0;

const _: () = assert!(
    BUFFERS_LEN.is_power_of_two(),
    "the kernel indexes the ring with a mask"
);

/// The buffers, their ring, and who owns each.
pub(crate) struct Received {
    bytes: Mapping,
    ring: Mapping,
    /// Next entry of the ring to fill; the kernel sees it through the ring's tail.
    tail: u16,
    /// The shard's buffers: which of their bytes it sees. `None`: the kernel's.
    shown: Vec<Option<Range<u16>>>,
    /// How many are the shard's.
    taken: u16,
}

impl Received {
    /// Maps and registers the buffers.
    pub(crate) fn new(ring: &IoUring) -> io::Result<Received> {
        let entries = Mapping::new(usize::from(BUFFERS_LEN) * size_of::<BufRingEntry>())?;
        let bytes = Mapping::new(usize::from(BUFFERS_LEN) * BUFFER_LEN)?;
        // SAFETY: the entries are mapped memory of the right size, and stay mapped until the ring was drained.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(entries.at(0) as u64, BUFFERS_LEN, GROUP, 0)?;
        }
        let mut received = Received {
            bytes,
            ring: entries,
            tail: 0,
            shown: vec![Some(0..0); usize::from(BUFFERS_LEN)],
            taken: BUFFERS_LEN,
        };
        for index in 0..BUFFERS_LEN {
            received.release(Buffer(index));
        }
        Ok(received)
    }

    /// The kernel filled `index` with `len` bytes: it is the shard's now.
    pub(crate) fn take(&mut self, index: u16, len: u32) -> Buffer {
        let slot = &mut self.shown[usize::from(index)];
        assert!(slot.is_none(), "the kernel used a buffer that was not its own");
        assert!(len as usize <= BUFFER_LEN, "more bytes than a buffer holds");
        *slot = Some(0..len as u16);
        self.taken += 1;
        Buffer(index)
    }

    /// Hides the first `len` bytes of a buffer that is the shard's.
    pub(crate) fn skip(&mut self, buffer: Buffer, len: u16) {
        let shown = self.shown[usize::from(buffer.0)].as_mut();
        let shown = shown.expect("a received buffer was changed after its release");
        assert!(len as usize <= shown.len(), "more bytes hidden than there are");
        shown.start += len;
    }

    /// The bytes of a buffer that is the shard's.
    pub(crate) fn bytes(&self, buffer: Buffer) -> &[u8] {
        let shown = self.shown[usize::from(buffer.0)].as_ref();
        let shown = shown.expect("a received buffer was read after its release");
        let start = self
            .bytes
            .at(usize::from(buffer.0) * BUFFER_LEN + usize::from(shown.start));
        // SAFETY: the kernel gave the buffer up at its completion and gets it back only in `release`, which needs
        // this value mutably; the bytes shown lie inside the mapping.
        unsafe { std::slice::from_raw_parts(start, shown.len()) }
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn release(&mut self, buffer: Buffer) {
        let owned = self.shown[usize::from(buffer.0)].take();
        assert!(owned.is_some(), "a received buffer was released twice");
        self.taken -= 1;
        let index = usize::from(self.tail & (BUFFERS_LEN - 1));
        let entry = self
            .ring
            .at(index * size_of::<BufRingEntry>())
            .cast::<BufRingEntry>();
        // SAFETY: the entry lies in the ring's memory, zeroed at first, and the kernel does not look at it before the
        // tail passes it. `set_*` touch the fields beside the tail, which shares memory with the first entry.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.bytes.at(usize::from(buffer.0) * BUFFER_LEN) as u64);
        entry.set_len(BUFFER_LEN as u32);
        entry.set_bid(buffer.0);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the ring's first entry is initialised memory; its `resv` field is the tail by the kernel's layout,
        // aligned for 16 bits, and shared with the kernel through atomic access only.
        let tail = unsafe { &*BufRingEntry::tail(self.ring.at(0).cast()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Whether enough buffers are free that parked receives may start again without running dry at once.
    pub(crate) fn has_room(&self) -> bool {
        BUFFERS_LEN - self.taken >= BUFFERS_LEN / 8
    }
}
