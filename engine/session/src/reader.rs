//! A file of a torrent to read from while it is being fetched.
//!
//! A reader tells the picker which pieces it will need: the one at its place and those of its read-ahead behind it, in
//! order. It waits until a piece is verified and on disk, then reads the file. Seeking moves the window, which never leaves
//! the file: what is behind it may be skipped, and not be on disk.
//! The file is read through the page cache; nothing is kept here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_proto::metainfo::FileKind;

use crate::torrent::Torrent;

/// Bytes behind a reader's place that are fetched before everything else: half a second of the fastest video that is
/// common (100 Mbit/s) is 6 MiB, and pieces come in the order of their requests.
const READ_AHEAD_LEN: u64 = 16 << 20;

/// Reads and seeks in one file of a torrent. See [`Torrent::reader`].
#[derive(Debug)]
pub struct Reader {
    torrent: Torrent,
    /// Which reader of the torrent.
    number: u64,
    file: File,
    /// Where the file begins in the payload.
    start: u64,
    len: u64,
    /// Place in the file of the next byte.
    at: u64,
    /// The first piece that was announced as expected; `None`: nothing was.
    expected_from: Option<u32>,
}

impl Reader {
    pub(crate) fn open(torrent: Torrent, index: FileIndex) -> io::Result<Reader> {
        let file = torrent.metainfo().file(index);
        if !matches!(file.kind, FileKind::Regular(_)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "padding is no file"));
        }
        torrent.make(index).map_err(io::Error::other)?;
        let extent = torrent.metainfo().layout().file(index);
        let file = File::open(&torrent.shared.paths[index.index()])?;
        Ok(Reader {
            number: torrent.add_reader(),
            torrent,
            file,
            start: extent.start,
            len: extent.len,
            at: 0,
            expected_from: None,
        })
    }

    /// Bytes of the file.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a file of a torrent may well be empty"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The piece that holds a byte of the file.
    fn piece_at(&self, at: u64) -> PieceIndex {
        let layout = self.torrent.metainfo().layout();
        let piece = (self.start + at) / u64::from(layout.piece_length());
        layout
            .piece(piece as u32)
            .expect("a byte of a file lies in a piece")
    }

    /// Announces what will be read, when that changed.
    fn expect(&mut self, piece: PieceIndex) {
        if self.expected_from == Some(piece.get()) {
            return;
        }
        self.expected_from = Some(piece.get());
        let end = (self.at + READ_AHEAD_LEN).min(self.len);
        // At least one piece more, however long they are.
        let ahead = self.piece_at(end - 1).get().max(piece.get() + 1);
        let pieces = piece.get()..=ahead.min(self.piece_at(self.len - 1).get());
        let layout = self.torrent.metainfo().layout();
        let missing = pieces.filter(|piece| {
            let piece = layout.piece(*piece);
            piece.is_some_and(|piece| !self.torrent.has(piece))
        });
        let missing = missing.collect();
        self.torrent.expect(self.number, missing);
    }
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len || bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.piece_at(self.at);
        self.expect(piece);
        if !self.torrent.wait_for(piece) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the torrent is not fetched any more",
            ));
        }
        let layout = self.torrent.metainfo().layout();
        let piece_end = layout.piece_offset(piece) + u64::from(layout.piece_len(piece)) - self.start;
        let left = piece_end.min(self.len) - self.at;
        let wanted = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut bytes[..wanted], self.at)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file was truncated",
            ));
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(distance) => self.len.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.at.checked_add_signed(distance),
        };
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning");
        self.at = at.ok_or_else(invalid)?;
        Ok(self.at)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.torrent.expect(self.number, Vec::new());
    }
}
