//! What needs minutes: fairness among many connections, a soak, and the full sizes of what `tests/it` does in seconds.
//! `tools/test.sh --long` runs it on a release build.

mod fairness;
mod interop_swarm;
mod killed;
mod soak;
mod streaming;
