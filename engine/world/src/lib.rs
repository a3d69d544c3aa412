//! What a shard may ask of the outside, and what it may be told.
//!
//! A shard decides; a world performs. Between the two lies only data: the shard emits [`Op`]s, the world answers
//! with [`Completion`]s, and payload stays in memory that both name by number and only one side owns at a time.
//! There are two worlds: the Linux kernel behind io_uring (`shoal-uring`), and the simulator of the test suite.
//!
//! This crate knows no protocol and performs nothing. It has no dependencies.
//!
//! Invariants of the contract, which every world keeps and every shard may rely on:
//! - Every operation gets exactly one final completion. Memory that an operation names belongs to the world from
//!   the moment the operation is emitted until that completion is delivered.
//! - A handle ([`Socket`], [`File`]) names one life of a slot: after its `Closed` the same slot returns under
//!   another generation, and nothing is ever delivered for the earlier one again.
//! - Completions of one turn are delivered in the order in which they happened on each handle.

mod file;
mod memory;
mod op;
mod rng;
mod socket;
mod time;

pub use file::{File, FileStamp, StampChange};
pub use memory::{
    Buffer, DATAGRAM_LEN_MAX, EXTENT_LEN, Extent, FRAME_LEN, Frame, Gather, PAGE_LEN, PAGES_PER_EXTENT, Part,
    Pool,
};
pub use op::{AcceptPause, Access, Completion, CoreIndex, Errno, Op, Opened, ReadDone, Refusal};
pub use rng::Rng;
pub use socket::Socket;
pub use time::Time;
