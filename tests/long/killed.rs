//! kill -9 a hundred times: see `tests/src/killing.rs`.

use shoal_tests::killing::{Plan, kill_again_and_again};

#[test]
fn killed_a_hundred_times() {
    kill_again_and_again(Plan {
        name: "killed a hundred times",
        len: 256 << 20,
        piece_len: 256 << 10,
        bytes_per_s: 64 << 20,
        // 2.5 seconds: written pieces are claimed after about one.
        life_blocks_max: 10_000,
        kills: 100,
    });
}
