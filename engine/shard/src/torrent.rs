//! What a shard knows of one torrent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileIndex, Layout};
use shoal_world::{EXTENT_LEN, FileStamp, PAGE_LEN, Socket};
use slab::Slab;

use crate::calling::Candidates;
use crate::choker::Choker;
use crate::fetching::Fetching;
use crate::files::FileKey;
use crate::picker::{Order, Priority};
use crate::suggesting::Suggestions;
use crate::super_seeding::SuperSeeding;
use crate::throttle::OwnThrottles;

/// A torrent of this shard by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TorrentId(pub(crate) u32);

/// A torrent to serve: what its metainfo says, where its data lie, and which pieces were verified.
#[derive(Clone, Debug)]
pub struct Seeding {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Its pieces and files.
    pub layout: Arc<Layout>,
    /// Its `info` dictionary, for peers that have only a magnet link (BEP 9).
    pub info: Arc<[u8]>,
    /// The path of every file of the layout; padding files have one too, which is never opened.
    pub paths: Vec<Arc<Path>>,
    /// The pieces that may be served.
    pub have: Bitfield,
    /// What every file was when it was verified. `None`: its owner vouches for what it is when it is first opened.
    pub stamps: Vec<Option<FileStamp>>,
    /// What is to be done about missing pieces; `None`: nothing, it is only served.
    pub fetch: Option<Fetch>,
}

/// How missing pieces are fetched. The files exist and have their lengths, or grow by what is written to them.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The hash of every piece.
    pub hashes: Arc<[Digest]>,
    /// How much every file is wanted, in the order of the layout.
    pub priorities: Vec<Priority>,
    /// Which pieces come first among those that are wanted equally.
    pub order: Order,
}

/// A torrent that is served.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) info_hash: InfoHash,
    pub(crate) layout: Arc<Layout>,
    pub(crate) info: Arc<[u8]>,
    pub(crate) have: Bitfield,
    pub(crate) complete: bool,
    /// Its files, in the order of the layout.
    pub(crate) files: Vec<FilePlace>,
    pub(crate) peers: BTreeSet<Socket>,
    pub(crate) choker: Choker,
    /// It is promoted to the hot cache at first sight. Decided at the first request.
    pub(crate) warm: Option<bool>,
    /// Bytes of blocks that were sent.
    pub(crate) uploaded_bytes: u64,
    /// Bytes of blocks that came.
    pub(crate) downloaded_bytes: u64,
    /// What fetching it needs; `None`: there is nothing to fetch.
    pub(crate) fetching: Option<Box<Fetching>>,
    pub(crate) throttles: OwnThrottles,
    /// What to propose to peers, once it was needed.
    pub(crate) suggestions: Option<Box<Suggestions>>,
    /// It pretends to have nothing.
    pub(crate) super_seeding: Option<Box<SuperSeeding>>,
    /// Addresses of peers to connect to.
    pub(crate) candidates: Candidates,
    /// A file of it is being verified again: nothing is planned for its peers meanwhile, nor held.
    pub(crate) suspended: bool,
}

/// A file of a torrent: its number, and where it stands in the torrent's page space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilePlace {
    pub(crate) key: FileKey,
    /// Its first page, counted from the first page of the torrent's first file.
    pub(crate) first_page: u64,
}

/// A gap of zeroes that no file on disk holds (BEP 47).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    pub(crate) len: u32,
}

/// Some bytes of one file inside one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) file: FileIndex,
    /// The extent, as an offset in the page space.
    pub(crate) extent: u32,
    /// First byte inside the extent.
    pub(crate) start: u32,
    /// Length in bytes.
    pub(crate) len: u32,
}

/// The torrents of one core.
#[derive(Debug, Default)]
pub(crate) struct Torrents {
    slots: Slab<Box<Active>>,
    by_wire_hash: BTreeMap<[u8; 20], TorrentId>,
}

/// Some bytes of the payload: where they lie in a file and in the page space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: FileIndex,
    /// First byte in the file.
    pub(crate) offset: u64,
    /// The extent, as an offset in the page space.
    pub(crate) extent: u32,
    /// First byte inside the extent.
    pub(crate) start: u32,
    /// Length in bytes.
    pub(crate) len: u32,
    pub(crate) padding: bool,
}

/// A range of the payload in order, cut where a file or an extent of the page space ends.
pub(crate) fn places<'a>(
    layout: &'a Layout,
    files: &'a [FilePlace],
    start: u64,
    len: u64,
) -> impl Iterator<Item = Place> + 'a {
    layout.segments(start, len).flat_map(|segment| {
        let first = files[segment.file.index()].first_page * u64::from(PAGE_LEN);
        let mut done = 0;
        std::iter::from_fn(move || {
            if done == segment.len {
                return None;
            }
            let at = first + segment.offset + done;
            let start = (at % u64::from(EXTENT_LEN)) as u32;
            let len = (segment.len - done).min(u64::from(EXTENT_LEN - start)) as u32;
            let place = Place {
                file: segment.file,
                offset: segment.offset + done,
                extent: (at / u64::from(EXTENT_LEN)) as u32,
                start,
                len,
                padding: segment.padding,
            };
            done += u64::from(len);
            Some(place)
        })
    })
}

impl Active {
    /// Pieces that are wanted and not there.
    pub(crate) fn wanted_left(&self) -> u32 {
        self.fetching
            .as_ref()
            .map_or(0, |fetching| fetching.picker.wanted_left())
    }

    /// The parts of extents that hold a range of the torrent, in order; padding has none and stands as a gap.
    pub(crate) fn stretches(
        &self,
        start: u64,
        len: u64,
    ) -> impl Iterator<Item = Result<Stretch, Padding>> + '_ {
        places(&self.layout, &self.files, start, len).map(|place| {
            if place.padding {
                return Err(Padding { len: place.len });
            }
            Ok(Stretch {
                file: place.file,
                extent: place.extent,
                start: place.start,
                len: place.len,
            })
        })
    }

    /// Offset in its file of a byte of an extent.
    pub(crate) fn file_offset(&self, file: FileIndex, extent: u32, start: u32) -> u64 {
        let first = self.files[file.index()].first_page * u64::from(PAGE_LEN);
        u64::from(extent) * u64::from(EXTENT_LEN) + u64::from(start) - first
    }
}

impl Torrents {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn contains(&self, info_hash: InfoHash) -> bool {
        self.by_wire_hash.contains_key(&info_hash.wire_bytes())
    }

    /// The number that the next torrent gets.
    pub(crate) fn next_id(&self) -> TorrentId {
        TorrentId(self.slots.vacant_key() as u32)
    }

    pub(crate) fn insert(&mut self, active: Box<Active>) {
        let wire_hash = active.info_hash.wire_bytes();
        let id = TorrentId(self.slots.insert(active) as u32);
        let before = self.by_wire_hash.insert(wire_hash, id);
        assert!(before.is_none(), "a torrent was added twice");
    }

    pub(crate) fn find(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.by_wire_hash.get(&info_hash.wire_bytes()).copied()
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Active> {
        self.slots.iter().map(|(_, active)| active.as_ref())
    }

    /// Whether nothing may be planned for its peers now.
    pub(crate) fn is_held(&self, id: TorrentId) -> bool {
        self.get(id).is_none_or(|active| active.suspended)
    }

    /// The torrent, to look at.
    pub(crate) fn get(&self, id: TorrentId) -> Option<&Active> {
        self.slots.get(id.0 as usize).map(Box::as_ref)
    }

    /// What fetching a torrent needs, while it is fetched.
    pub(crate) fn fetching(&mut self, id: TorrentId) -> Option<&mut Fetching> {
        self.active(id)?.fetching.as_deref_mut()
    }

    /// Those that are fetched, in the order of their numbers.
    pub(crate) fn ids_fetching(&self) -> Vec<TorrentId> {
        let fetched = self.slots.iter().filter(|(_, active)| active.fetching.is_some());
        fetched.map(|(id, _)| TorrentId(id as u32)).collect()
    }

    /// The torrent, while it is served.
    pub(crate) fn active(&mut self, id: TorrentId) -> Option<&mut Active> {
        self.slots.get_mut(id.0 as usize).map(Box::as_mut)
    }

    /// Stops serving it. What it was.
    pub(crate) fn remove(&mut self, id: TorrentId) -> Option<Box<Active>> {
        let active = self.slots.try_remove(id.0 as usize)?;
        self.by_wire_hash.remove(&active.info_hash.wire_bytes());
        Some(active)
    }
}
