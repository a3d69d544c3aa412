//! Writing torrent files.
//!
//! What is written is canonical bencode and is read back before it is returned, so that we never write a
//! torrent that we would refuse, and the info-hash that is printed is that of the bytes on disk.

use std::sync::Arc;

use super::error::{Context, MetainfoError, Place, Problem};
use super::{Attributes, Metainfo, PIECE_HASH_LEN};
use crate::bencode::{DictWriter, ListWriter, write_dict};
use crate::digest::Digest;
use crate::layout::{FileLength, Layout};
use crate::url::{TRACKER_SCHEMES, WEB_SEED_SCHEMES, usable};

/// The shortest piece that is chosen for a new torrent, in bytes: one block.
const PIECE_LENGTH_CHOSEN_MIN: u64 = 16 * 1024;

/// The longest piece that is chosen for a new torrent, in bytes: longer ones make clients hold much that is
/// not verified.
const PIECE_LENGTH_CHOSEN_MAX: u64 = 16 * 1024 * 1024;

/// The most pieces that are chosen for a new torrent, until pieces are at their longest: 40 KiB of hashes.
const PIECES_CHOSEN_MAX: u64 = 2_048;

/// What a new torrent is to contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetainfoBuilder {
    /// The only file's name, or that of the folder the files are in.
    pub name: String,
    /// The payload.
    pub content: Content,
    /// Bytes in each piece but the last; see [`piece_length_for`].
    pub piece_length: u32,
    /// Addresses of trackers in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Addresses of web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers are to come from the trackers only (BEP 27).
    pub private: bool,
    /// The site the torrent is made for; changes the info-hash.
    pub source: Option<String>,
    /// A text for people.
    pub comment: Option<String>,
    /// The software that writes the torrent.
    pub created_by: Option<String>,
    /// Now, in seconds since 1970, unless that is nobody's business.
    pub creation_date_s: Option<u64>,
}

/// The payload of a new torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One file, called like the torrent.
    File {
        /// Bytes in the file.
        len: u64,
        /// Its attributes (BEP 47).
        attributes: Attributes,
    },
    /// Files in a folder that is called like the torrent, in the order of the payload.
    Folder(Vec<FileEntry>),
}

/// One file in the folder of a new torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Folders and name, below the torrent's folder.
    pub path: Vec<String>,
    /// Bytes in the file.
    pub len: u64,
    /// What kind of file it is.
    pub kind: EntryKind,
}

/// The kinds of files in a new torrent (BEP 47).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with payload.
    Regular(Attributes),
    /// Zeros up to the next start of a piece.
    Padding,
    /// A link; its length is 0.
    Symlink {
        /// Folders and name of another entry, below the torrent's folder.
        target: Vec<String>,
    },
}

/// A torrent file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The torrent file.
    pub bytes: Vec<u8>,
    /// What reading it gives.
    pub metainfo: Metainfo,
}

impl MetainfoBuilder {
    /// A torrent with what it must have and nothing else.
    pub fn new(name: impl Into<String>, content: Content, piece_length: u32) -> MetainfoBuilder {
        MetainfoBuilder {
            name: name.into(),
            content,
            piece_length,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            source: None,
            comment: None,
            created_by: None,
            creation_date_s: None,
        }
    }

    /// The layout of the payload, for hashing its pieces. Refuses everything that [`MetainfoBuilder::build`]
    /// would, before the time for hashing is spent.
    pub fn layout(&self) -> Result<Arc<Layout>, MetainfoError> {
        let lengths = match &self.content {
            Content::File { len, .. } => vec![FileLength {
                len: *len,
                padding: false,
            }],
            Content::Folder(files) => files.iter().map(FileEntry::length).collect(),
        };
        // Lengths that make no layout are refused on reading back, where the sentence names their key.
        let pieces = Layout::new(self.piece_length, lengths).map_or(0, |layout| layout.pieces());
        let no_hashes = vec![Digest::Sha1([0; PIECE_HASH_LEN]); pieces as usize];
        Ok(self.build(&no_hashes)?.metainfo.layout().clone())
    }

    /// The torrent file, given the SHA-1 of each piece in order.
    pub fn build(&self, hashes: &[Digest]) -> Result<Built, MetainfoError> {
        check_addresses("announce-list", self.trackers.iter().flatten(), TRACKER_SCHEMES)?;
        check_addresses("url-list", self.web_seeds.iter(), WEB_SEED_SCHEMES)?;
        let mut bytes = Vec::new();
        write_dict(&mut bytes, |torrent| self.write_torrent(torrent, hashes));
        let metainfo = Metainfo::parse(&bytes)?;
        Ok(Built { bytes, metainfo })
    }

    fn write_torrent(&self, torrent: &mut DictWriter<'_>, hashes: &[Digest]) {
        if let Some(first) = self.trackers.iter().flatten().next() {
            torrent.bytes(b"announce", first.as_bytes());
        }
        if self.trackers.iter().flatten().nth(1).is_some() {
            torrent.list(b"announce-list", |tiers| {
                for tier in &self.trackers {
                    tiers.list(|addresses| write_strings(addresses, tier));
                }
            });
        }
        write_text(torrent, b"comment", self.comment.as_deref());
        write_text(torrent, b"created by", self.created_by.as_deref());
        if let Some(date) = self.creation_date_s {
            torrent.integer(b"creation date", date.try_into().unwrap_or(i64::MAX));
        }
        torrent.dict(b"info", |info| self.write_info(info, hashes));
        match self.web_seeds.as_slice() {
            [] => {}
            [only] => torrent.bytes(b"url-list", only.as_bytes()),
            several => torrent.list(b"url-list", |addresses| write_strings(addresses, several)),
        }
    }

    fn write_info(&self, info: &mut DictWriter<'_>, hashes: &[Digest]) {
        match &self.content {
            Content::File { len, attributes } => {
                write_attributes(info, &attributes.letters());
                info.integer(b"length", written_len(*len));
            }
            Content::Folder(files) => info.list(b"files", |list| {
                for file in files {
                    list.dict(|entry| file.write(entry));
                }
            }),
        }
        info.bytes(b"name", self.name.as_bytes());
        info.integer(b"piece length", self.piece_length.into());
        info.bytes(
            b"pieces",
            &hashes
                .iter()
                .flat_map(Digest::as_bytes)
                .copied()
                .collect::<Vec<u8>>(),
        );
        if self.private {
            info.integer(b"private", 1);
        }
        write_text(info, b"source", self.source.as_deref());
    }
}

impl FileEntry {
    fn length(&self) -> FileLength {
        FileLength {
            len: self.len,
            padding: self.kind == EntryKind::Padding,
        }
    }

    fn write(&self, entry: &mut DictWriter<'_>) {
        let letters = match &self.kind {
            EntryKind::Regular(attributes) => attributes.letters(),
            EntryKind::Padding => "p".to_owned(),
            EntryKind::Symlink { .. } => "l".to_owned(),
        };
        write_attributes(entry, &letters);
        entry.integer(b"length", written_len(self.len));
        entry.list(b"path", |elements| write_strings(elements, &self.path));
        if let EntryKind::Symlink { target } = &self.kind {
            entry.list(b"symlink path", |elements| write_strings(elements, target));
        }
    }
}

impl Attributes {
    /// The letters of BEP 47.
    fn letters(self) -> String {
        let letters = [(self.hidden, 'h'), (self.executable, 'x')];
        letters
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// The piece length for a payload of so many bytes, when nobody asks for another: the shortest power of two
/// that makes at most 2,048 pieces, so 1,025 to 2,048 of them, but at least 16 KiB and at most 16 MiB.
pub fn piece_length_for(total_len: u64) -> u32 {
    let wanted = total_len.div_ceil(PIECES_CHOSEN_MAX).next_power_of_two();
    let chosen = wanted.clamp(PIECE_LENGTH_CHOSEN_MIN, PIECE_LENGTH_CHOSEN_MAX);
    chosen as u32
}

fn check_addresses<'s>(
    key: &'static str,
    mut addresses: impl Iterator<Item = &'s String>,
    schemes: &[&str],
) -> Result<(), MetainfoError> {
    if addresses.all(|address| usable(address.as_bytes(), schemes).is_some()) {
        return Ok(());
    }
    let place = Place {
        context: Context::Torrent,
        key,
    };
    Err(MetainfoError::Entry {
        place,
        problem: Problem::Address,
    })
}

fn write_text(dict: &mut DictWriter<'_>, key: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        dict.bytes(key, text.as_bytes());
    }
}

fn write_strings(list: &mut ListWriter<'_>, strings: &[String]) {
    for string in strings {
        list.bytes(string.as_bytes());
    }
}

/// No letters, no key: that keeps the info-hash what a tool without BEP 47 would make it.
fn write_attributes(dict: &mut DictWriter<'_>, letters: &str) {
    if !letters.is_empty() {
        dict.bytes(b"attr", letters.as_bytes());
    }
}

/// A length as bencode has it; one beyond its range stays beyond every limit and is refused on reading back.
fn written_len(len: u64) -> i64 {
    len.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
