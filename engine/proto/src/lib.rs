//! What is on the wire: values, and the state machine of one conversation.
//!
//! Everything a peer, a tracker or a torrent file can tell us enters the engine through this crate, and
//! leaves it as a value whose type proves what was checked: a [`layout::PieceIndex`] is in range, a
//! [`layout::Span`] lies inside its piece, the path of a [`metainfo::File`] cannot leave the torrent's
//! folder.
//!
//! What this crate is not: it opens nothing, sends nothing and waits for nothing. It has no clock, no
//! randomness, no thread and no unsafe code; identity (the random part of a peer id) and time arrive as
//! arguments of the caller. It keeps no policy either: whether a peer is banned for a violation is decided
//! above.
//!
//! Invariants:
//! - Hostile bytes never panic, and never cost more memory than [`limits`] says.
//! - No parser recurses.
//! - What was signed by a hash is hashed as the raw bytes that arrived, never as a re-encoding of them.
//! - Numbers that a peer sent stay plain `u32`s until [`layout::Layout`] has accepted them.

pub mod bencode;
pub mod bitfield;
pub mod digest;
pub mod extension;
pub mod handshake;
pub mod info_hash;
pub mod layout;
pub mod limits;
pub mod magnet;
pub mod message;
pub mod metadata;
pub mod metainfo;
pub mod peer_id;
pub mod peer_priority;
mod text;
mod url;
