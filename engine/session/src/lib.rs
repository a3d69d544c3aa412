//! shoal, the embeddable BitTorrent engine: what a program that seeds needs, without its command line.
//!
//! [`create`] makes torrents, [`check`] checks data against them, [`config`] holds the settings. This crate decides
//! where things run and where they are kept; the protocol is `shoal-proto`'s, what a core does is `shoal-shard`'s, and
//! the kernel is `shoal-uring`'s.
//!
//! It prints nothing and ends no process: what happened is returned, as values whose `Display` is one sentence.

pub mod check;
pub mod config;
mod core;
pub mod create;
pub mod machine;
pub mod printable;
pub mod reader;
pub mod resume;
mod saver;
pub mod session;
pub mod state;
pub mod storage;

pub mod torrent;
pub mod torrent_file;
pub mod units;
