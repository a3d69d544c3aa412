//! Every maximum of this crate, with its unit and where the number comes from.
//!
//! A limit here bounds what hostile bytes can cost. It is not tuning: settings that an operator may change
//! live in the configuration. Where other clients enforce a number, ours is the same or larger, so that what
//! they accept loads here.

use crate::layout::BLOCK_LEN;

// Bencode.

/// Lists and dictionaries inside one another. A torrent file needs 5; libtorrent stops at 100 as well.
pub const BENCODE_DEPTH_MAX: usize = 100;

/// Tokens (integers, strings, starts and ends) in one document. libtorrent has the same limit; it is what
/// bounds [`FILES_MAX`].
pub const BENCODE_TOKENS_MAX: usize = 3_000_000;

// Torrents.

/// Bytes of a torrent file. libtorrent has the same limit; at 20 bytes a piece this is 524,288 pieces.
pub const METAINFO_LEN_MAX: usize = 10 * 1024 * 1024;

/// Pieces of one torrent, from any source. libtorrent has the same limit; a bitfield of this many is 256 KiB.
pub const PIECES_MAX: u32 = 1 << 21;

/// Bytes in the shortest piece. A 20-byte hash for less than 1 KiB would spend more than 2 % on hashes and
/// let a 10 MiB file order half a million hashing jobs for nothing. The smallest in use is 16 KiB.
pub const PIECE_LENGTH_MIN: u32 = 1 << 10;

/// Bytes in the longest piece: 256 MiB. A piece that is fetched must fit memory until it is verified.
pub const PIECE_LENGTH_MAX: u32 = 1 << 28;

/// Bytes of payload in one torrent: 512 TiB, so that no sum of file lengths can overflow.
pub const TOTAL_LEN_MAX: u64 = PIECES_MAX as u64 * PIECE_LENGTH_MAX as u64;

/// Tokens of the shortest entry that names a file: `d6:lengthi0e4:pathl1:aee`.
pub const FILE_ENTRY_TOKENS: usize = 8;

/// Files of one torrent: 375,000, as many as a torrent file can name within its tokens. At 24 bytes for the
/// shortest entry its bytes would allow a few more.
pub const FILES_MAX: usize = BENCODE_TOKENS_MAX / FILE_ENTRY_TOKENS;

/// Bytes in one element of a path: `NAME_MAX` of ext4, xfs and btrfs.
pub const PATH_ELEMENT_LEN_MAX: usize = 255;

/// Elements in one path, the torrent's own folder included. libtorrent has the same limit.
pub const PATH_DEPTH_MAX: usize = 100;

/// Bytes in one path below the data directory: Linux allows 4,095 in all, and 1 KiB is left for that
/// directory.
pub const PATH_LEN_MAX: usize = 4_095 - 1_024;

/// Symbolic links that lead to one another: where Linux gives up as well (`MAXSYMLINKS`).
pub const SYMLINK_HOPS_MAX: usize = 40;

/// Tracker addresses of one torrent; further ones are ignored. Long lists in the wild have about 60.
pub const TRACKERS_MAX: usize = 128;

/// Web seed addresses of one torrent; further ones are ignored.
pub const WEB_SEEDS_MAX: usize = 64;

/// Bytes of one address: what HTTP servers commonly accept in a request line is 8 KiB, and 2 KiB fits every
/// known one.
pub const URL_LEN_MAX: usize = 2_048;

/// Bytes of a text for people: comment, created by, source. Longer ones are cut.
pub const TEXT_LEN_MAX: usize = 16 * 1024;

/// Peers that are taken from a magnet link; further ones are ignored. Links in the wild have a handful.
pub const MAGNET_PEERS_MAX: usize = 64;

/// Bytes of a magnet link: room for every tracker and web seed that would be kept, each byte percent-encoded.
pub const MAGNET_LEN_MAX: usize = (TRACKERS_MAX + WEB_SEEDS_MAX) * URL_LEN_MAX * 3;

// Peer wire.

/// Bytes that one request may ask for: 128 KiB, where mainline closed the connection. Every client asks for
/// 16 KiB.
pub const REQUEST_LEN_MAX: u32 = 8 * BLOCK_LEN;

/// Bytes in the frame of a piece message: id, index, begin and one block. We ask for blocks of [`BLOCK_LEN`]
/// only, so a longer one was never asked for.
pub const PIECE_FRAME_LEN_MAX: u32 = 1 + 4 + 4 + BLOCK_LEN;

/// Bytes in the frame of an extension message. The longest in use is a metadata piece: 16 KiB behind a
/// dictionary of less than 100 bytes. A peer exchange of 200 IPv6 peers added and dropped is under 8 KiB.
pub const EXTENDED_FRAME_LEN_MAX: u32 = 32 * 1024;

/// Bytes that we read of the name a peer gives its software. Names in use have less than 40.
pub const CLIENT_NAME_LEN_MAX: usize = 64;

const _: () = assert!(FILES_MAX * 24 <= METAINFO_LEN_MAX && FILES_MAX < u32::MAX as usize);
const _: () = assert!(METAINFO_LEN_MAX / 20 <= PIECES_MAX as usize);
const _: () = assert!(TOTAL_LEN_MAX < i64::MAX as u64);
const _: () = assert!(PIECE_LENGTH_MIN <= BLOCK_LEN && BLOCK_LEN < PIECE_LENGTH_MAX);
const _: () = assert!(PIECE_FRAME_LEN_MAX < EXTENDED_FRAME_LEN_MAX);

/// Bytes in a piece of the `info` dictionary when peers exchange it (BEP 9); the last may be shorter.
pub const METADATA_PIECE_LEN: usize = 16 * 1024;
