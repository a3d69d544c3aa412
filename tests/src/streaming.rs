//! Reading a file of a torrent while it is fetched, through the library, as an embedder does.
//!
//! The seed is paced and counts its blocks, so that what a reader had to wait for can be told in blocks instead of
//! seconds: what is asked of a seed before a byte can be read must not depend on how long the file is.

use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;

use shoal::torrent::{Torrent, Wishes};

use crate::embedded::Embedded;
use crate::sample::{BLOCK_LEN, Block, Sample};
use crate::scripted_seed::ScriptedSeed;

/// Bytes that a reader takes at once, over the edges of pieces and blocks.
const READ_LEN: usize = 100_000;

/// Requests that a client keeps outstanding with a peer that does not say how many it queues.
const PIPELINE_LEN_MAX: usize = 250;

/// A session that fetches one file from one paced seed.
#[derive(Debug)]
pub struct Stream {
    seed: ScriptedSeed,
    torrent: Torrent,
    embedded: Embedded,
}

impl Stream {
    /// Begins to fetch a file of so many bytes at so many bytes in a second.
    ///
    /// # Panics
    /// If the engine does not start.
    pub fn begin(name: &str, len: usize, piece_len: u32, bytes_per_s: u32) -> Stream {
        let embedded = Embedded::start(Sample::file(name, len, piece_len));
        let seed = ScriptedSeed::paced(Ipv4Addr::LOCALHOST, embedded.sample(), bytes_per_s);
        let torrent = embedded.fetch(Wishes::default(), &[seed.address()]);
        Stream {
            seed,
            torrent,
            embedded,
        }
    }

    /// Reads at `at` and returns how many blocks the seed began between the seek and the bytes.
    ///
    /// # Panics
    /// If the bytes are wrong, or the engine gives up.
    pub fn blocks_until_read_at(&self, at: u64) -> usize {
        let layout = self.torrent.metainfo().layout();
        let file = layout.files().next().expect("a torrent has a file").0;
        let mut reader = self.torrent.reader(file).expect("the file is there");
        let sent = || self.seed.ledger().look(|account| account.sent.len());
        let before = sent();
        reader.seek(SeekFrom::Start(at)).expect("a place in the file");
        let mut first = [0];
        reader
            .read_exact(&mut first)
            .expect("the torrent is being fetched");
        let blocks = sent() - before;
        reader.seek(SeekFrom::Start(at)).expect("a place in the file");
        let len = READ_LEN.min(self.embedded.sample().len() - at as usize);
        let mut bytes = vec![0; len];
        reader
            .read_exact(&mut bytes)
            .expect("the torrent is being fetched");
        assert!(bytes == self.bytes(at, len), "what was read at {at} differs");
        blocks
    }

    /// Reads the whole file from its beginning.
    ///
    /// # Panics
    /// If a byte is wrong, or the engine gives up.
    pub fn assert_reads_all(&self) {
        let layout = self.torrent.metainfo().layout();
        let file = layout.files().next().expect("a torrent has a file").0;
        let mut reader = self.torrent.reader(file).expect("the file is there");
        let mut bytes = vec![0; READ_LEN];
        let mut at = 0;
        loop {
            let len = reader.read(&mut bytes).expect("the torrent is being fetched");
            assert!(
                bytes[..len] == *self.bytes(at, len),
                "what was read at {at} differs"
            );
            at += len as u64;
            if len == 0 {
                break;
            }
        }
        assert_eq!(at, self.embedded.sample().len() as u64);
    }

    /// How many blocks a piece has.
    pub fn blocks_per_piece(&self) -> usize {
        self.embedded.sample().piece_len().div_ceil(BLOCK_LEN) as usize
    }

    /// How many bytes the file has.
    pub fn len(&self) -> u64 {
        self.embedded.sample().len() as u64
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.embedded.sample().is_empty()
    }

    /// Ends the session.
    pub fn stop(self) {
        self.embedded.stop();
    }

    fn bytes(&self, at: u64, len: usize) -> &[u8] {
        let piece_len = u64::from(self.embedded.sample().piece_len());
        self.embedded.sample().bytes_of(Block {
            piece: (at / piece_len) as u32,
            offset: (at % piece_len) as u32,
            len: len as u32,
        })
    }
}

/// A reader that seeks gets its first byte after a few pieces, wherever it seeks to and however long the file is.
///
/// # Panics
/// If it waits for more.
pub fn check_first_bytes(name: &str, len: usize, piece_len: u32, bytes_per_s: u32) {
    let stream = Stream::begin(name, len, piece_len, bytes_per_s);
    let middle = stream.len() / 2 + 4_321;
    // The piece itself, what was asked for before the reader came, and what follows while the piece is hashed and written.
    let fresh_max = 4 * stream.blocks_per_piece();
    let blocks = stream.blocks_until_read_at(middle);
    assert!(
        blocks <= fresh_max,
        "{blocks} blocks before the first byte, at most {fresh_max}"
    );
    // Once fetching is under way, what was asked for comes before what is asked for next.
    let running_max = PIPELINE_LEN_MAX + fresh_max;
    for at in [stream.len() - 10_000, stream.len() / 4, stream.len() / 8 * 7] {
        let blocks = stream.blocks_until_read_at(at);
        assert!(
            blocks <= running_max,
            "{blocks} blocks before the first byte at {at}, at most {running_max}"
        );
    }
    stream.stop();
}
