//! What must hold of every input that a stranger can send: the bodies of the fuzz targets.
//!
//! A body takes any bytes, gives them to one door of the engine and panics when the answer breaks a promise. It says more
//! than "does not crash": what was read is written again and read again, slices lie in the input, limits hold, a plain
//! second reading comes to the same. The same bodies run in two places: under `cargo fuzz` (`tests/fuzz`), and over the
//! committed corpus and cheap mutations of it (`tests/it/corpus.rs`).
//!
//! Not here: whether others accept the same documents (`tests/it/differential.rs`, which takes its documents from
//! [`mutation`]).
//!
//! Invariants: a body is a pure function of its bytes: no file, no clock, no randomness. It never asks for more memory
//! than a small multiple of its input. What it compares with is written here a second time, plainly, and not with the
//! code that it checks.

mod bencode;
mod config;
mod extension;
mod fetching;
mod handshake;
mod magnet;
mod messages;
mod metadata;
mod metainfo;
pub mod mutation;
mod shard;

pub use bencode::{bencode, bencode_tree};
pub use config::config;
pub use extension::extension;
pub use fetching::fetching;
pub use handshake::handshake;
pub use magnet::magnet;
pub use messages::messages;
pub use metadata::metadata;
pub use metainfo::metainfo;
pub use shard::shard;

/// A fuzz target: `tests/fuzz/targets/NAME.rs`, with its corpus in `tests/fuzz/corpus/NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What the target and its corpus are called.
    pub name: &'static str,
    /// What must hold.
    pub body: fn(&[u8]),
    /// As many inputs of a parser take the time of one of this target.
    pub cost: usize,
}

/// All of them, by name.
pub const TARGETS: [Target; 10] = [
    target("bencode", bencode),
    target("config", config),
    target("extension", extension),
    Target {
        cost: 50,
        ..target("fetching", fetching)
    },
    target("handshake", handshake),
    target("magnet", magnet),
    target("messages", messages),
    target("metadata", metadata),
    target("metainfo", metainfo),
    Target {
        cost: 100,
        ..target("shard", shard)
    },
];

const fn target(name: &'static str, body: fn(&[u8])) -> Target {
    Target { name, body, cost: 1 }
}
