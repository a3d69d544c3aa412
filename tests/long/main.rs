//! What needs minutes: fairness among many connections, and a soak. `tools/test.sh --long` runs it on a release build.

mod fairness;
mod soak;
