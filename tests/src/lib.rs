//! What the tests that run the real `shoal` share: known content, a scripted peer, processes, a tracker; the
//! simulator, and the bodies of the fuzz targets.
//!
//! Only [`sim`] and [`fuzz`] use the engine, [`killing`], which reads the durable state, and [`embedded`] with
//! [`streaming`], which embed it. What drives processes does not: bencode, the metainfo and the peer protocol are written a second time, plainly and on blocking sockets, so
//! that a mistake in the engine cannot hide behind the same mistake in its test.
//!
//! Invariants:
//! - Every wait has a condition and a deadline ([`PATIENCE`]); reaching the deadline fails the test with what
//!   was waited for. Nothing sleeps in the hope that something has happened meanwhile.
//! - A block that differs from the original panics where it is received, whatever the test was about.
//! - Every process that a test starts dies with the value that stands for it.
//! - Ports are chosen by the kernel, directories are temporary and below the target directory (a real disk).

use std::time::Duration;

pub mod bencode;
pub mod client;
pub mod download;
pub mod embedded;
pub mod fetch;
pub mod fuzz;
pub mod killing;
pub mod mounted;
pub mod mutations;
pub mod peer;
pub mod place;
pub mod process;
pub mod random;
pub mod sample;
pub mod scripted_seed;
pub mod sim;
pub mod streaming;
pub mod swarming;
pub mod tracker;

/// How long a test waits for anything before it fails. Far above what a loaded two-core machine needs (the
/// slowest single wait, building nothing, stays under five seconds there), below the patience of a person.
pub const PATIENCE: Duration = Duration::from_secs(60);
