//! One core's engine as a plain value: torrents, peers, choking, caches, the plan of every read and send.
//!
//! A [`Shard`] takes completions and emits operations. It performs no I/O, reads no clock, starts no thread and knows
//! no other shard: whatever world stands behind [`shoal_world::Op`] drives it, the kernel or a simulation, and the
//! same inputs give the same outputs.
//!
//! The life of a block that is seeded: a request arrives (`conversation`) and waits in its peer's bounded queue; in
//! the peer's turn (`serving`) up to 16 requests become a run; what the run needs is found in the hot cache (`hot`,
//! framed extents sent by reference) or pinned in the cold one (`cache`, extents of the arena, read where they are
//! not valid); when all is there it goes out in one send.
//!
//! Invariants:
//! - No byte is sent that was not read while its file still was what was verified.
//! - One send is under way per peer; what the socket does not take stays unpinned until it does.
//! - Everything that waits stands in a queue with a maximum in `limits`; what is pinned is unpinned by the completion
//!   of the operation that needed it.
//! - Hostile bytes never panic; a broken rule of our own always does.

mod buffers;
mod cache;
mod calling;
mod choker;
mod conversation;
mod counters;
mod download;
mod event;
mod fetching;
mod files;
mod greeting;
mod hot;
mod limits;
mod peer;
mod picker;
mod serving;
mod settings;
mod shard;
mod suggesting;
mod super_seeding;
mod throttle;
mod timers;
mod torrent;
mod waiting;
mod watch;
mod wheel;

pub use choker::{Algorithm, Slots};
pub use counters::{Counters, PeerReport, Report, TorrentReport};
pub use event::{Cause, Command, Event, Failure};
pub use picker::{Order, Priority};
pub use settings::Settings;
pub use shard::Shard;
pub use throttle::{Direction, Throttle, Throttles};
pub use torrent::{Fetch, Seeding};
