//! Provided buffers: what multishot receives land in.
//!
//! A ring of equal buffers that the kernel takes from when bytes arrive. A buffer is the kernel's, then the shard's
//! from its completion until it is given back; the table of what is shown says whose it is, so that giving back twice or
//! reading the kernel's is found at once.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use shoal_world::Buffer;

use crate::memory::Mapping;
use crate::ring::Ring;

/// Length of a buffer in bytes: 240 requests of 17 bytes. Larger buffers would lie about, four a connection, for
/// traffic that is almost all requests.
pub(crate) const BUFFER_LEN: usize = 4096;

/// Buffers of a core, 4 MiB together: as many connections may deliver in one turn before anyone waits for a buffer.
pub(crate) const BUFFERS_LEN: u16 = 1024;

/// Length of a buffer for payload in bytes: four blocks. Every portion costs a completion and a look at the
/// conversation, which at 4 KiB is as much as the copy itself.
pub(crate) const PAYLOAD_BUFFER_LEN: usize = 65_536;

/// Buffers for payload of a core, 2 MiB together: what they hold is copied on before the next turn, and more would only
/// drive it out of the caches. Mapped when the first payload is expected.
pub(crate) const PAYLOAD_BUFFERS_LEN: u16 = 32;

/// What the kernel reads of a buffer: `struct io_uring_buf` of its interface. In the first entry of a ring, where the
/// kernel does not look at it, the last field is the ring's tail.
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) address: u64,
    pub(crate) len: u32,
    pub(crate) index: u16,
    pub(crate) tail: AtomicU16,
}

const _: () = assert!(size_of::<Entry>() == 16, "the kernel's layout");

/// How many buffers of which length, and under which numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// A power of two.
    pub(crate) len: u16,
    /// Bytes of each, at most 64 KiB.
    pub(crate) buffer_len: usize,
    /// The number of the first.
    pub(crate) first: u16,
    /// The group that receives name.
    pub(crate) group: u16,
}

impl Shape {
    /// Buffers for messages.
    pub(crate) fn messages(len: u16) -> Shape {
        Shape {
            len,
            buffer_len: BUFFER_LEN,
            first: 0,
            group: 0,
        }
    }

    /// Buffers for payload, numbered behind those for messages.
    pub(crate) fn payload(messages: Shape) -> Shape {
        Shape {
            len: PAYLOAD_BUFFERS_LEN,
            buffer_len: PAYLOAD_BUFFER_LEN,
            first: messages.len,
            group: 1,
        }
    }
}

/// The buffers, their ring, and who owns each.
pub(crate) struct Received {
    shape: Shape,
    bytes: Mapping,
    /// [`Entry`]s, as many as buffers. Never borrowed as such: the kernel reads the tail at any time.
    ring: Mapping,
    /// Next entry of the ring to fill; the kernel sees it through the ring's tail.
    tail: u16,
    /// The shard's buffers: which of their bytes it sees. `None`: the kernel's.
    shown: Vec<Option<Range<u32>>>,
    /// How many are the shard's.
    taken: u16,
}

impl Received {
    /// Maps the buffers and gives them all to the kernel.
    pub(crate) fn new(shape: Shape) -> io::Result<Received> {
        let len = shape.len;
        assert!(len.is_power_of_two(), "the kernel indexes the ring with a mask");
        let mut received = Received {
            shape,
            bytes: Mapping::new(usize::from(len) * shape.buffer_len)?,
            ring: Mapping::new(usize::from(len) * size_of::<Entry>())?,
            tail: 0,
            shown: vec![Some(0..0); usize::from(len)],
            taken: len,
        };
        for index in 0..len {
            received.release(Buffer(shape.first + index));
        }
        Ok(received)
    }

    /// Tells a ring of the buffers.
    ///
    /// # Safety
    /// This value lives until the ring is drained.
    pub(crate) unsafe fn register(&self, ring: &Ring) -> io::Result<()> {
        // SAFETY: `len` entries lie at the address, mapped as long as this value lives.
        unsafe { ring.register_provided(self.ring.at(0) as u64, self.shape.len, self.shape.group) }
    }

    /// What to map.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether a number names one of these.
    pub(crate) fn holds(&self, buffer: Buffer) -> bool {
        buffer.0 >= self.shape.first
    }

    fn place(&self, buffer: Buffer) -> usize {
        usize::from(buffer.0 - self.shape.first)
    }

    /// The kernel filled `index` with `len` bytes: it is the shard's now.
    pub(crate) fn take(&mut self, index: u16, len: u32) -> Buffer {
        let buffer = Buffer(index);
        let place = self.place(buffer);
        let slot = &mut self.shown[place];
        assert!(slot.is_none(), "the kernel used a buffer that was not its own");
        assert!(
            len as usize <= self.shape.buffer_len,
            "more bytes than a buffer holds"
        );
        *slot = Some(0..len);
        self.taken += 1;
        buffer
    }

    /// Hides the first `len` bytes of a buffer that is the shard's.
    pub(crate) fn skip(&mut self, buffer: Buffer, len: u16) {
        let place = self.place(buffer);
        let shown = self.shown[place].as_mut();
        let shown = shown.expect("a received buffer was changed after its release");
        assert!(
            usize::from(len) <= shown.len(),
            "more bytes hidden than there are"
        );
        shown.start += u32::from(len);
    }

    /// The bytes of a buffer that is the shard's.
    pub(crate) fn bytes(&self, buffer: Buffer) -> &[u8] {
        let place = self.place(buffer);
        let shown = self.shown[place].as_ref();
        let shown = shown.expect("a received buffer was read after its release");
        let start = self
            .bytes
            .at(place * self.shape.buffer_len + shown.start as usize);
        // SAFETY: the kernel gave the buffer up at its completion and gets it back only in `release`, which needs
        // this value mutably; the bytes shown lie inside the mapping.
        unsafe { std::slice::from_raw_parts(start, shown.len()) }
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn release(&mut self, buffer: Buffer) {
        let place = self.place(buffer);
        let owned = self.shown[place].take();
        assert!(owned.is_some(), "a received buffer was released twice");
        self.taken -= 1;
        let address = self.bytes.at(place * self.shape.buffer_len);
        let index = usize::from(self.tail & (self.shape.len - 1));
        let entry = self.ring.at(index * size_of::<Entry>()).cast::<Entry>();
        // SAFETY: the entry lies in the ring's memory, and the kernel does not look at these fields before the tail
        // passes them. Nothing is borrowed, so the tail beside them stays shared.
        unsafe {
            (&raw mut (*entry).address).write(address as u64);
            (&raw mut (*entry).len).write(self.shape.buffer_len as u32);
            (&raw mut (*entry).index).write(buffer.0);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: initialised memory, which both sides touch by atomic access only.
        let tail = unsafe { &(*self.ring.at(0).cast::<Entry>()).tail };
        // What stands in the entry, and what the shard read of the buffer, comes before the kernel's next use.
        tail.store(self.tail, Ordering::Release);
    }

    /// Whether enough buffers are free that parked receives may start again without running dry at once.
    pub(crate) fn has_room(&self) -> bool {
        self.shape.len - self.taken >= self.shape.len / 8
    }
}

#[cfg(test)]
mod tests;
