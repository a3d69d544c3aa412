//! kill -9 at random moments: nothing that was claimed as durable is wrong, or fetched again.
//!
//! The quick version of `tests/long/killed.rs`; what is looked at stands in `tests/src/killing.rs`.

use shoal_tests::killing::{Plan, kill_again_and_again};

#[test]
fn killed_eight_times() {
    kill_again_and_again(Plan {
        name: "killed eight times",
        len: 32 << 20,
        piece_len: 128 << 10,
        bytes_per_s: 16 << 20,
        // 2.5 seconds: written pieces are claimed after about one.
        life_blocks_max: 2_500,
        kills: 8,
    });
}
