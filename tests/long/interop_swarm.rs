//! A swarm around 1 GiB: see `tests/src/swarming.rs`.

use shoal_tests::swarming::{Plan, everybody_gets_everything};

#[test]
fn everybody_gets_1_gib_and_the_liar_is_banned() {
    everybody_gets_everything(Plan {
        len: 1 << 30,
        piece_len: 1 << 20,
        bytes_per_s: 64 << 20,
        patience: 10,
    });
}
