//! One file: its generated content, what was written over it, and which of that is durable.

use std::collections::{BTreeMap, BTreeSet};

use shoal_world::{FileStamp, PAGE_LEN};

use super::super::dice::{Chance, Dice};
use super::super::torrent::generate;
use super::InodeNumber;

/// A drive writes at least this much at once.
const SECTOR_LEN: usize = 512;

/// What a file holds where nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Zeroes,
    /// The generated stream of `key` from `start` on.
    Generated {
        /// Which stream.
        key: u64,
        /// Where in it the file begins.
        start: u64,
    },
}

/// One page of a file.
#[derive(Clone, Debug)]
struct Page(Box<[u8; PAGE_LEN as usize]>);

#[derive(Clone, Debug, Default)]
struct State {
    len: u64,
    written: BTreeMap<u64, Page>,
}

impl State {
    /// What stood behind a shorter end is zeroes if the file grows again.
    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.written.retain(|page, _| page * u64::from(PAGE_LEN) < len);
        if let Some(last) = self.written.get_mut(&(len / u64::from(PAGE_LEN))) {
            last.0[(len % u64::from(PAGE_LEN)) as usize..].fill(0);
        }
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct Inode {
    content: Content,
    /// The content ends here even if the file was made longer later.
    content_len: u64,
    seen: State,
    durable: State,
    /// Writes since the last sync, in order.
    unsynced: Vec<(u64, Vec<u8>)>,
    modified_ns: i64,
    pub(super) changed_ns: i64,
    pub(super) links: u32,
    pub(super) mode: u32,
    pub(super) handles: u32,
    pub(super) bad: BTreeSet<u64>,
    pub(super) rotten: BTreeSet<u64>,
}

impl Inode {
    pub(super) fn new(content: Content, len: u64, stamp: i64) -> Inode {
        let state = State {
            len,
            written: BTreeMap::new(),
        };
        Inode {
            content,
            content_len: len,
            seen: state.clone(),
            durable: state,
            unsynced: Vec::new(),
            modified_ns: stamp,
            changed_ns: stamp,
            links: 1,
            mode: 0o100_644,
            handles: 0,
            bad: BTreeSet::new(),
            rotten: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len
    }

    pub(super) fn stamp(&self, number: InodeNumber) -> FileStamp {
        FileStamp {
            device: 1,
            inode: number.0,
            size: self.seen.len,
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
            links: self.links,
            mode: self.mode,
            uid: 0,
            gid: 0,
        }
    }

    pub(super) fn is_original(&self, content: Content, len: u64) -> bool {
        (self.content, self.content_len, self.seen.len) == (content, len, len) && self.seen.written.is_empty()
    }

    /// Content and attributes changed at this moment.
    pub(super) fn stamped(&mut self, stamp: i64) {
        self.modified_ns = stamp;
        self.changed_ns = stamp;
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.content_len = self.content_len.min(len);
        // Metadata is journalled: a new length is durable with the next sync or by itself.
        for state in [&mut self.seen, &mut self.durable] {
            state.set_len(len);
        }
        self.unsynced.retain_mut(|(offset, bytes)| {
            bytes.truncate(usize::try_from(len.saturating_sub(*offset)).unwrap_or(usize::MAX));
            !bytes.is_empty()
        });
    }

    pub(super) fn is_damaged(&self, offset: u64, len: u64) -> bool {
        let (first, end) = pages(offset, len);
        self.bad.range(first..end).next().is_some()
    }

    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let len = self.read_state(&self.seen, offset, bytes);
        let (first, end) = pages(offset, len as u64);
        for page in self.rotten.range(first..end) {
            let place = page * u64::from(PAGE_LEN);
            if let Some(byte) = place
                .checked_sub(offset)
                .and_then(|at| bytes.get_mut(at as usize))
            {
                *byte ^= 0x40;
            }
        }
        len
    }

    /// The same of what would be there after a crash, at least.
    pub(super) fn read_durable(&self, offset: u64, bytes: &mut [u8]) -> usize {
        self.read_state(&self.durable, offset, bytes)
    }

    fn read_state(&self, state: &State, offset: u64, bytes: &mut [u8]) -> usize {
        let len = state.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let bytes = &mut bytes[..len];
        self.generated(offset, bytes);
        let (first, end) = pages(offset, len as u64);
        for (page, written) in state.written.range(first..end) {
            overlap(offset, bytes, page * u64::from(PAGE_LEN), &written.0[..]);
        }
        len
    }

    /// How many bytes of a write need space that the file has not.
    pub(super) fn new_bytes(&self, offset: u64, len: u64) -> u64 {
        let (first, end) = pages(offset, len);
        let has = |page: u64| {
            self.seen.written.contains_key(&page)
                || self.content != Content::Zeroes && page * u64::from(PAGE_LEN) < self.content_len
        };
        (first..end).filter(|page| !has(*page)).count() as u64 * u64::from(PAGE_LEN)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.apply(offset, bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    pub(super) fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let (first, end) = pages(offset, bytes.len() as u64);
            for page in first..end {
                if let Some(written) = self.seen.written.get(&page) {
                    self.durable.written.insert(page, written.clone());
                }
            }
        }
        self.durable.len = self.seen.len;
    }

    /// A sync failed: what it was for is visible until the next crash and is not written any more.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
    }

    pub(super) fn crash(&mut self, dice: &mut Dice) {
        self.seen = self.durable.clone();
        for (offset, mut bytes) in std::mem::take(&mut self.unsynced) {
            match dice.below(3) {
                0 => {}
                1 => self.apply(offset, &bytes),
                _ => {
                    let sectors = bytes.len().div_ceil(SECTOR_LEN) as u32;
                    bytes.truncate(dice.below(sectors) as usize * SECTOR_LEN);
                    self.apply(offset, &bytes);
                }
            }
        }
        self.durable = self.seen.clone();
        if dice.happens(Chance::one_in(2)) {
            self.changed_ns += 1;
        }
    }

    fn apply(&mut self, offset: u64, bytes: &[u8]) {
        let (first, end) = pages(offset, bytes.len() as u64);
        for page in first..end {
            self.bad.remove(&page);
            self.rotten.remove(&page);
            let place = page * u64::from(PAGE_LEN);
            if !self.seen.written.contains_key(&page) {
                let mut before = Box::new([0; PAGE_LEN as usize]);
                self.generated(place, &mut before[..]);
                self.seen.written.insert(page, Page(before));
            }
            if let Some(written) = self.seen.written.get_mut(&page) {
                overlap(place, &mut written.0[..], offset, bytes);
            }
        }
        self.seen.len = self.seen.len.max(offset + bytes.len() as u64);
    }

    fn generated(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        if let Content::Generated { key, start } = self.content {
            let len = self.content_len.saturating_sub(offset).min(bytes.len() as u64);
            generate(key, start + offset, &mut bytes[..len as usize]);
        }
    }
}

/// The pages that a range touches: the first, and the one behind the last.
fn pages(offset: u64, len: u64) -> (u64, u64) {
    let page = u64::from(PAGE_LEN);
    (offset / page, (offset + len).div_ceil(page))
}

/// Copies what two ranges of the file have in common.
fn overlap(to_offset: u64, to: &mut [u8], from_offset: u64, from: &[u8]) {
    let start = to_offset.max(from_offset);
    let end = (to_offset + to.len() as u64).min(from_offset + from.len() as u64);
    if start < end {
        let len = (end - start) as usize;
        let (to_at, from_at) = ((start - to_offset) as usize, (start - from_offset) as usize);
        to[to_at..to_at + len].copy_from_slice(&from[from_at..from_at + len]);
    }
}
