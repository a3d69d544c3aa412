//! Payload memory by number: extents of the registered arena, framed extents, received buffers, and what a send gathers.

/// Length of an extent in bytes: 16 blocks, the largest run that one read or one send carries.
///
/// Larger reads gain nothing on the measured disks at the depth that is kept in flight; smaller ones pay more per byte.
pub const EXTENT_LEN: u32 = 256 * 1024;

/// Length of a page in bytes: the unit in which an extent's validity is tracked and every direct read is aligned.
pub const PAGE_LEN: u32 = 4096;

/// Pages in one extent; they fit the bits of a `u64`.
pub const PAGES_PER_EXTENT: u32 = EXTENT_LEN / PAGE_LEN;

/// Length of a framed extent in bytes: 16 blocks of 16 KiB, each behind its 13-byte header, rounded up to pages.
pub const FRAME_LEN: u32 = (16_u32 * (16_384 + 13)).next_multiple_of(PAGE_LEN);

/// Longest payload of a datagram that is delivered, in bytes: the answer of a UDP tracker with 200 IPv6 peers takes
/// 3,620 of them, and everything else that BitTorrent sends fits 1,500.
pub const DATAGRAM_LEN_MAX: u32 = 4000;

const _: () = assert!(PAGES_PER_EXTENT == 64, "validity of an extent is one u64");

/// A page-aligned piece of registered memory, [`EXTENT_LEN`] bytes, numbered densely from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent(pub u32);

/// A place of [`FRAME_LEN`] bytes in the memory that is sent by reference, numbered densely from 0.
///
/// Its bytes are written once by a `Fill` and never again until a `Discard` gave its pages back: pages that were
/// sent may still be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u32);

/// A buffer with received bytes, the shard's from its completion until [`Pool::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Buffer(pub u16);

/// One contiguous part of what a send or a fill gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A range of the gather's own bytes.
    Bytes {
        /// First byte in [`Gather::bytes`].
        start: u32,
        /// Length in bytes.
        len: u32,
    },
    /// A range of an extent, which stays untouched until the final completion.
    Extent {
        /// Which extent.
        extent: Extent,
        /// First byte inside it.
        start: u32,
        /// Length in bytes.
        len: u32,
    },
}

impl Part {
    /// Length in bytes.
    pub fn len(&self) -> u32 {
        match *self {
            Part::Bytes { len, .. } | Part::Extent { len, .. } => len,
        }
    }

    /// True for a part without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one operation sends or writes: own bytes and ranges of extents, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gather {
    /// The bytes that belong to the gather itself: message headers, control messages.
    pub bytes: Vec<u8>,
    /// The parts in the order they go out.
    pub parts: Vec<Part>,
}

impl Gather {
    /// Appends bytes of its own; neighbouring ones become one part.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        match self.parts.last_mut() {
            Some(Part::Bytes { start: s, len }) if *s + *len == start => *len += bytes.len() as u32,
            _ if bytes.is_empty() => {}
            _ => self.parts.push(Part::Bytes {
                start,
                len: bytes.len() as u32,
            }),
        }
    }

    /// Appends a range of an extent; ranges that continue each other become one part.
    pub fn push_extent(&mut self, extent: Extent, start: u32, len: u32) {
        match self.parts.last_mut() {
            Some(Part::Extent {
                extent: e,
                start: s,
                len: l,
            }) if *e == extent && *s + *l == start => *l += len,
            _ if len == 0 => {}
            _ => self.parts.push(Part::Extent { extent, start, len }),
        }
    }

    /// Length of all parts in bytes.
    pub fn len(&self) -> u32 {
        self.parts.iter().map(Part::len).sum()
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The memory of a world, as far as a shard looks into it.
pub trait Pool {
    /// The received bytes of a buffer that is the shard's at this moment.
    fn received(&self, buffer: Buffer) -> &[u8];

    /// Gives a received buffer back to the world.
    fn release(&mut self, buffer: Buffer);

    /// Copies received bytes, `start` counted in [`Pool::received`], to byte `at` of an extent. No operation that
    /// is under way names those bytes of the extent.
    fn store(&mut self, buffer: Buffer, start: u32, len: u32, extent: Extent, at: u32);

    /// Number of extents of the arena; constant.
    fn extents(&self) -> u32;

    /// Number of framed extents; constant.
    fn frames(&self) -> u32;
}

#[cfg(test)]
mod tests;
