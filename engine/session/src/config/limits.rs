//! The range of every setting, with its derivation. A value outside is impossible and refused when it is read, so
//! nothing below the configuration checks again.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Least: 64 extents of 256 KiB, without which one core cannot work. Most: a gigabyte for each of 64 cores, far beyond
/// what reads under way can use.
pub(super) const ARENA_SIZE: RangeInclusive<u64> = 16 << 20..=64 << 30;

/// Zero turns the cache off. Most: more memory than a machine of today has.
pub(super) const CACHE_SIZE: RangeInclusive<u64> = 0..=16 << 40;

/// Most: one peer is one descriptor, and the kernel's own ceiling (`fs.nr_open`) is 1,048,576 unless raised.
pub(super) const PEERS_MAX: RangeInclusive<u64> = 1..=1_000_000;

/// More slots than peers mean nothing.
pub(super) const UPLOAD_SLOTS: RangeInclusive<u64> = 1..=*PEERS_MAX.end();

/// More from one address than there may be peers means nothing.
pub(super) const PEERS_PER_ADDRESS_MAX: RangeInclusive<u64> = 1..=*PEERS_MAX.end();

/// Least: two merged reads of 256 KiB in blocks of 16 KiB, below which a disk is never read ahead of the wire.
/// Most: 1 GiB asked for by one peer, far beyond any connection's bandwidth times delay.
pub(super) const REQUESTS_PER_PEER_MAX: RangeInclusive<u64> = 32..=65_536;

/// Least: one retransmission of a lost SYN takes a second. Most: a minute of silence is no handshake.
pub(super) const HANDSHAKE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// Least: BEP 3 has peers send a keep-alive every two minutes; less would disconnect peers that do as they should.
pub(super) const IDLE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(121)..=Duration::from_secs(3600);

/// Least: TCP itself may retransmit for several seconds without anything being wrong.
pub(super) const SEND_STALL_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(600);

/// Least: one torrent with a handful of files. Most: as `PEERS_MAX`, one is one descriptor.
pub(super) const FILES_OPEN_MAX: RangeInclusive<u64> = 16..=1_000_000;

/// Most: more threads than CPUs of any machine only wait for each other.
pub(super) const HASHING_THREADS: RangeInclusive<u64> = 1..=1024;

/// Least: a few reads of 1 MiB. Most: far more than any disk needs to be busy.
pub(super) const HASHING_MEMORY: RangeInclusive<u64> = 4 << 20..=16 << 30;

/// The whole file is read into memory. The documented defaults are about 6 KiB.
pub(super) const FILE_SIZE_MAX: u64 = 1 << 20;

/// Below a kilobyte a second not one block passes in the time after which peers give up; a terabyte is no limit.
pub(super) const RATE: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// From a block to the longest piece that a torrent may have.
pub(super) const PIECE_LENGTH_MAX: RangeInclusive<u64> = 1 << 14..=1 << 28;
