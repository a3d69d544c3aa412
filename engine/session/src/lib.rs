//! shoal, the embeddable BitTorrent engine: what a program that seeds and fetches needs, without its command line.
//!
//! A [`session::Session`] runs the engine. [`torrent::Fetching::begin`] makes a torrent's files and finds out what is there,
//! [`session::Session::add`] fetches the rest and serves it, and a [`torrent::Torrent`] tells what happens and hands out
//! [`reader::Reader`]s that read files while they come. The example `stream` does all of it in a page:
//!
//! ```sh
//! cargo run -p shoal --example stream -- FILE.torrent OUT 192.0.2.1:6881
//! ```
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
mod listeners;
pub mod machine;
mod news;
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
mod verifier;
