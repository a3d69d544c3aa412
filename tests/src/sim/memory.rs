//! A core's memory, and the proof that only one side owns each byte of it at a time.
//!
//! Extents hold real bytes. While the world reads into a page it is poisoned and locked; while it sends from a page
//! nobody may read into it. Framed extents are pages that what is on its way refers to. Received buffers are few and
//! come back one by one. Whatever breaks a rule of the contract panics with the rule.

use std::collections::BTreeSet;

use shoal_world::{
    Buffer, EXTENT_LEN, Extent, FRAME_LEN, Frame, Gather, PAGE_LEN, PAGES_PER_EXTENT, Part, Pool,
};

use super::payload::{Pages, Payload};

/// Length of a received buffer in bytes, as in the kernel's world.
pub const BUFFER_LEN: usize = 4096;

/// The same where payload is expected.
pub const PAYLOAD_BUFFER_LEN: usize = 65_536;

/// What stands in memory that a read has not filled yet.
const POISON: u8 = 0xdb;

/// What stands in an extent that was never written to.
static UNTOUCHED: [u8; EXTENT_LEN as usize] = [0; EXTENT_LEN as usize];

/// One extent.
#[derive(Debug)]
struct ExtentState {
    /// Nothing as long as nobody wrote into it: memory costs when it is touched, and most never is.
    bytes: Vec<u8>,
    /// Pages into which a read is under way.
    filling: u64,
    /// How many operations read each page.
    used: [u16; PAGES_PER_EXTENT as usize],
}

impl ExtentState {
    /// Its bytes, to be written to.
    fn touched(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = vec![0; EXTENT_LEN as usize];
        }
        &mut self.bytes
    }
}

/// One framed extent.
#[derive(Debug, Default)]
struct FrameState {
    pages: Pages,
    filling: bool,
    /// The fill under way fails.
    fails: bool,
    written: bool,
    /// Sends under way that have not given their references to the socket.
    sending: u32,
}

/// The memory of one core.
#[derive(Debug)]
pub struct Memory {
    extents: Vec<ExtentState>,
    frames: Vec<FrameState>,
    /// The shard's buffers.
    received: Vec<Option<Vec<u8>>>,
    /// The world's.
    free: BTreeSet<u16>,
}

impl Memory {
    /// Memory of so many extents, framed extents and received buffers.
    pub fn new(extents: u32, frames: u32, buffers: u16) -> Memory {
        let extent = || ExtentState {
            bytes: Vec::new(),
            filling: 0,
            used: [0; PAGES_PER_EXTENT as usize],
        };
        Memory {
            extents: (0..extents).map(|_| extent()).collect(),
            frames: (0..frames).map(|_| FrameState::default()).collect(),
            received: vec![None; usize::from(buffers)],
            free: (0..buffers).collect(),
        }
    }

    /// Whether a portion can be received.
    pub fn has_buffer(&self) -> bool {
        !self.free.is_empty()
    }

    /// Gives a received portion to the shard.
    pub fn deliver(&mut self, bytes: Vec<u8>) -> Buffer {
        let index = self
            .free
            .pop_first()
            .expect("a portion is received only into a free buffer");
        self.received[usize::from(index)] = Some(bytes);
        Buffer(index)
    }

    /// A read into pages begins.
    pub fn start_filling(&mut self, extent: Extent, start: u32, len: u32) {
        let state = &mut self.extents[extent.0 as usize];
        for page in pages(start, len) {
            assert_eq!(
                state.used[page], 0,
                "{extent:?} is read into while it is being sent"
            );
            assert!(
                state.filling & 1 << page == 0,
                "{extent:?} is read into twice at a time"
            );
            state.filling |= 1 << page;
        }
        state.touched()[start as usize..(start + len) as usize].fill(POISON);
    }

    /// The read ended: what it brings stands in the memory that this returns.
    pub fn filled(&mut self, extent: Extent, start: u32, len: u32) -> &mut [u8] {
        let state = &mut self.extents[extent.0 as usize];
        for page in pages(start, len) {
            state.filling &= !(1 << page);
        }
        &mut state.touched()[start as usize..(start + len) as usize]
    }

    /// An operation begins to read parts of extents.
    pub fn start_using(&mut self, parts: &[Part]) {
        for (state, page) in self.used_pages(parts) {
            assert!(
                self.extents[state].filling & 1 << page == 0,
                "extent {state} is used while it is being read into"
            );
            self.extents[state].used[page] += 1;
        }
    }

    /// It does not read them any more.
    pub fn stop_using(&mut self, parts: &[Part]) {
        for (state, page) in self.used_pages(parts) {
            self.extents[state].used[page] -= 1;
        }
    }

    fn used_pages(&self, parts: &[Part]) -> Vec<(usize, usize)> {
        let used = parts.iter().filter_map(|part| match *part {
            Part::Extent { extent, start, len } => {
                Some(pages(start, len).map(move |page| (extent.0 as usize, page)))
            }
            Part::Bytes { .. } => None,
        });
        used.flatten().collect()
    }

    /// What a gather holds.
    pub fn gathered(&self, gather: &Gather) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(gather.len() as usize);
        for part in &gather.parts {
            bytes.extend_from_slice(match *part {
                Part::Bytes { start, len } => &gather.bytes[start as usize..][..len as usize],
                Part::Extent { extent, start, len } => self.bytes(extent, start, len),
            });
        }
        bytes
    }

    /// What part of an extent holds.
    pub fn bytes(&self, extent: Extent, start: u32, len: u32) -> &[u8] {
        let bytes = self.extents[extent.0 as usize].bytes.as_slice();
        let bytes = if bytes.is_empty() { &UNTOUCHED[..] } else { bytes };
        &bytes[start as usize..][..len as usize]
    }

    /// A fill of a framed extent begins.
    pub fn start_framing(&mut self, frame: Frame) {
        let state = &mut self.frames[frame.0 as usize];
        assert!(!state.written && !state.filling, "{frame:?} was written twice");
        state.filling = true;
    }

    /// The fill under way will fail.
    pub fn fill_fails(&mut self, frame: Frame, fails: bool) {
        self.frames[frame.0 as usize].fails = fails;
    }

    /// The fill ended. Whether the bytes stand there; if not, anything may.
    pub fn framed(&mut self, frame: Frame, bytes: Option<Vec<u8>>) -> bool {
        let state = &mut self.frames[frame.0 as usize];
        state.filling = false;
        state.written = true;
        let bytes = bytes.filter(|_| !std::mem::take(&mut state.fails));
        let taken = bytes.is_some();
        let bytes = bytes.unwrap_or_default();
        assert!(
            bytes.len() <= FRAME_LEN as usize,
            "more bytes than {frame:?} holds"
        );
        state.pages.write(bytes);
        taken
    }

    /// Gives the pages of a framed extent back; those on their way live on.
    pub fn discard(&mut self, frame: Frame) {
        let state = &mut self.frames[frame.0 as usize];
        assert!(
            !state.filling,
            "{frame:?} was discarded while it was being written"
        );
        assert_eq!(
            state.sending, 0,
            "{frame:?} was discarded while it was being sent"
        );
        state.written = false;
        state.pages = Pages::default();
    }

    /// A send of part of a framed extent begins.
    pub fn start_sending(&mut self, frame: Frame, start: u32, len: u32) -> Payload {
        let state = &mut self.frames[frame.0 as usize];
        assert!(state.written, "{frame:?} was sent empty");
        state.sending += 1;
        Payload::referring(&state.pages, start as usize, len as usize)
    }

    /// It ended.
    pub fn stop_sending(&mut self, frame: Frame) {
        self.frames[frame.0 as usize].sending -= 1;
    }

    /// Panics unless the world owns nothing of the shard's and the shard nothing of the world's.
    pub fn assert_returned(&self) {
        let held: Vec<usize> = (0..self.received.len())
            .filter(|index| self.received[*index].is_some())
            .collect();
        assert!(held.is_empty(), "received buffers were never released: {held:?}");
        for (index, state) in self.extents.iter().enumerate() {
            let idle = state.filling == 0 && state.used.iter().all(|used| *used == 0);
            assert!(idle, "extent {index} is still in use");
        }
        for (index, state) in self.frames.iter().enumerate() {
            assert!(
                !state.filling && state.sending == 0,
                "framed extent {index} is still in use"
            );
        }
    }
}

impl Pool for Memory {
    fn received(&self, buffer: Buffer) -> &[u8] {
        self.received[usize::from(buffer.0)]
            .as_deref()
            .expect("a received buffer was read after its release")
    }

    fn release(&mut self, buffer: Buffer) {
        let bytes = self.received[usize::from(buffer.0)].take();
        assert!(bytes.is_some(), "a received buffer was released twice");
        self.free.insert(buffer.0);
    }

    fn store(&mut self, buffer: Buffer, start: u32, len: u32, extent: Extent, at: u32) {
        let bytes = self.received(buffer)[start as usize..][..len as usize].to_vec();
        let state = &mut self.extents[extent.0 as usize];
        for page in pages(at, len) {
            assert!(
                state.filling & 1 << page == 0,
                "{extent:?} is stored into while it is read into"
            );
            // Pages that two pieces share may be hashed or written for one while bytes of the other land.
            let whole = at as usize <= page * PAGE_LEN as usize
                && (at + len) as usize >= (page + 1) * PAGE_LEN as usize;
            assert!(
                !whole || state.used[page] == 0,
                "{extent:?} is stored into while it is being used"
            );
        }
        state.touched()[at as usize..(at + len) as usize].copy_from_slice(&bytes);
    }

    fn extents(&self) -> u32 {
        self.extents.len() as u32
    }

    fn frames(&self) -> u32 {
        self.frames.len() as u32
    }
}

fn pages(start: u32, len: u32) -> std::ops::Range<usize> {
    assert!(start + len <= EXTENT_LEN, "a range outside its extent");
    (start / PAGE_LEN) as usize..(start + len).div_ceil(PAGE_LEN) as usize
}

#[cfg(test)]
mod tests;
