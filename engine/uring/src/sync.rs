//! What threads share and wait with, at one door: the real things, or those that a model checker controls.
//!
//! In tests built with `--cfg loom`, this module gives loom's atomics and threads, and stand-ins for what loom does not have: a
//! bounded queue and an event on which a core sleeps. The doorbell, the mailbox, the sleeping and the ending of the
//! hashing pool take everything from here, so the models (`models.rs` beside each of them) run through the very source
//! that is shipped, in every order of steps and with every stale value that the memory model allows:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p shoal-uring --lib models
//! ```
//!
//! The stand-ins promise less than the real things: see [`stand_in`]. The real queue is run by Miri, which
//! sees its own atomics (`mailbox/tests.rs`).
//!
//! It is not for what one thread owns alone, nor for `Arc`, whose counting is not ours to prove.

#[cfg(not(all(loom, test)))]
mod event;
#[cfg(all(loom, test))]
mod stand_in;

#[cfg(not(all(loom, test)))]
pub(crate) use std::{
    sync::{atomic, mpsc},
    thread,
};

#[cfg(not(all(loom, test)))]
pub(crate) use crossbeam::queue::ArrayQueue;
#[cfg(not(all(loom, test)))]
pub(crate) use event::Event;
#[cfg(all(loom, test))]
pub(crate) use loom::{
    sync::{atomic, mpsc},
    thread,
};
#[cfg(all(loom, test))]
pub(crate) use stand_in::{ArrayQueue, Event, explore};
