//! Everything that queues has a maximum; here they stand, each with its derivation.
//!
//! What an operator may choose is a setting ([`crate::Settings`]). Here is what follows from the design.

use std::time::Duration;

use shoal_proto::layout::BLOCK_LEN;
use shoal_proto::limits::PIECES_MAX;
use shoal_world::EXTENT_LEN;

/// Blocks in one run, that is in one read and one send: what an extent holds.
pub(crate) const RUN_BLOCKS_MAX: usize = (EXTENT_LEN / BLOCK_LEN) as usize;

/// Blocks in a run to a peer that has not shown yet that it takes more: 64 KiB, the lower end of the quantum.
pub(crate) const RUN_BLOCKS_MIN: usize = 4;

/// Payload that one turn of the round robin gives a peer: one full run.
pub(crate) const QUANTUM: u32 = EXTENT_LEN;

/// Runs that are read ahead of the one being sent. With 8 peers that makes 24 reads of 256 KiB under way, where the
/// measured disks reach their rate; more only holds memory.
pub(crate) const RUNS_AHEAD_MAX: usize = 3;

/// Payload after which a run ends at an extent's edge, so that the next one reads a whole extent: at 64 KiB a send
/// costs little more per byte than at 256 KiB.
pub(crate) const RUN_CUT_LEN: u32 = 64 * 1024;

/// Stretches of a run up to which the next requests are compared with each of them, to be read in the same go. A run of
/// a large file has two; one of many tiny files has thousands, and the comparison would be quadratic.
pub(crate) const LOOK_AHEAD_NEEDS_MAX: usize = 32;

/// Reads under way on one core: 64 of 256 KiB keep every measured disk at its rate.
pub(crate) const READS_MAX: usize = 64;

/// Control messages that wait to be sent, beyond what a handshake needs: 60 kB are 3,500 rejects, more than a queue
/// full of requests can cause at once. A peer that lets them pile up does not read and asks all the same.
pub(crate) const OUTBOX_LEN_MAX: usize = 60_000 + PIECES_MAX as usize / 8;

/// Pieces of the `info` dictionary that one peer may have waiting: 256 KiB, what clients ask for in one round trip. What
/// exceeds it is rejected, and asked for again.
pub(crate) const METADATA_REQUESTS_MAX: usize = 16;

/// Control messages that wait when something more is asked for: 960 requests, which a socket takes at once from a peer that
/// reads.
pub(crate) const ASKING_OUTBOX_LEN_MAX: usize = 16 * 1024;

/// Requests refused in a row before the peer is disconnected: ten times what any client keeps outstanding, so it
/// ignores what it is told.
pub(crate) const REFUSED_MAX: u32 = 20_000;

/// Connections that have not finished their handshake: at 10 s each, 100 new peers a second are served undisturbed.
/// Beyond it the oldest is closed for the newest.
pub(crate) const GREETING_MAX: usize = 1_024;

/// Silence on our side after which a keep-alive is sent. BEP 3: peers may close after two minutes.
pub(crate) const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(100);

/// Longest time between two looks at a peer's deadlines. A look costs nanoseconds; this bounds how late one is met.
pub(crate) const LOOK_AFTER_MAX: Duration = Duration::from_secs(15);

/// How often the paths of files in use are compared with what was verified.
pub(crate) const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Files compared at a time: a torrent of 10,000 files in use takes several rounds instead of a burst of lookups.
pub(crate) const WATCH_FILES_MAX: usize = 64;

/// How often unchoked and waiting peers change places, when slots are bounded (10 s in the reference client, BEP 3).
pub(crate) const ROTATE_EVERY: Duration = Duration::from_secs(10);

/// Time after which accepting is tried again when it failed for want of descriptors or memory.
pub(crate) const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);

const _: () = assert!(RUN_BLOCKS_MIN <= RUN_BLOCKS_MAX);
const _: () = assert!(
    RUN_BLOCKS_MAX <= u16::BITS as usize,
    "the blocks of a framed extent are bits of a u16"
);

/// Extents that piece buffers leave to the cold cache: as many as one run of 16 scattered blocks and a frame to promote
/// can need.
pub(crate) const SERVING_EXTENTS_MIN: u32 = 64;

/// What a peer's pipeline of requests holds, once its rate is known: a second of blocks covers any round trip on earth
/// and the pauses of a busy seeder, and little is lost when the peer leaves.
pub(crate) const PIPELINE_TIME: Duration = Duration::from_secs(1);

/// Blocks asked for at least: 256 KiB, what a peer sends together.
pub(crate) const PIPELINE_BLOCKS_MIN: usize = 16;

/// Blocks asked for at most of a peer that does not say what it queues (the default of BEP 10's `reqq` in practice).
pub(crate) const PIPELINE_BLOCKS_DEFAULT: usize = 250;

/// Blocks asked for at most of a peer that answers within [`NEAR`]: 8 MiB, which at that delay is 800 MiB/s. More would only
/// drive what is being hashed and written out of the processor's caches.
pub(crate) const PIPELINE_BLOCKS_NEAR: usize = 512;

/// A peer is near if a block came so soon after it was asked for.
pub(crate) const NEAR: Duration = Duration::from_millis(10);

/// Blocks asked for at most: 31 MiB, 10 Gbit/s at a round trip of 25 ms.
pub(crate) const PIPELINE_BLOCKS_MAX: usize = 2_000;

/// Time without a block, although some are asked for, after which others are asked for them. Longer than a TCP
/// connection needs to recover from a lost packet twice, shorter than a person watches a bar that stands.
pub(crate) const SNUBBED_AFTER: Duration = Duration::from_secs(15);

/// Blocks that may come unasked before the peer is disconnected: 4 MiB, besides what was asked for once and taken back.
pub(crate) const UNASKED_MAX: u32 = 256;

/// Pieces that a peer may suggest, and allow, at most; BEP 6 allows 10 in practice.
pub(crate) const HINTS_MAX: usize = 64;

/// Pieces proposed ahead of what a peer asks for: the one that it fetches and the one after it.
pub(crate) const PROPOSED_MAX: usize = 2;

/// How often deadlines of a peer that we fetch from are looked at.
pub(crate) const LOOK_AFTER_FETCHING: Duration = Duration::from_secs(2);

/// How long written pieces wait to be made durable together. What a crash costs at most is fetched again.
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Bytes that wait to be made durable at most: a fast disk's writes of a tenth of a second.
pub(crate) const SYNC_BYTES_MAX: u64 = 256 << 20;

/// How often a torrent that cannot be written tries again.
pub(crate) const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Time without a block after which a piece may be given up for its memory: twice what snubs a peer, so that every peer
/// that could deliver had its chance.
pub(crate) const IDLE_PIECE_AFTER: Duration = Duration::from_secs(30);

/// Addresses known for one torrent at most, as in libtorrent.
pub(crate) const CANDIDATES_MAX: usize = 3_000;

/// Connections being made at most, of one core: a SYN is small, but half of them go nowhere.
pub(crate) const CALLS_MAX: usize = 64;

/// Time for a connection to be made.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the least useful connections give way to others where connections are scarce, as in libtorrent.
pub(crate) const TURNOVER_EVERY: Duration = Duration::from_secs(300);

/// One connection in so many gives way at a time (4 %, as in libtorrent).
pub(crate) const TURNOVER_PART: usize = 25;

/// Waiting time before an address is tried again, doubled with every failure.
pub(crate) const CALL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Doublings of it at most: 5 s become 10 minutes.
pub(crate) const CALL_DOUBLINGS_MAX: u32 = 7;

/// Peers of which it is remembered who they were, for blame: as many as one piece of 64 MiB has blocks.
pub(crate) const SOURCES_MAX: usize = 4_096;

/// Blocks remembered of pieces that failed, of one torrent: a gigabyte of wrong payload, in 6 MiB. A piece that failed
/// is fetched again before new ones are begun, so no more than are in hand at a time wait to be right.
pub(crate) const SUSPECTS_MAX: usize = 65_536;

/// Peers that are remembered as banned, of one core: who lied cost us a piece, so a liar needs as many addresses and
/// 1 GiB of traffic at the least to be forgotten. 3 MiB.
pub(crate) const BANNED_MAX: usize = 65_536;
