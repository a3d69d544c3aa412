//! A swarm of libtorrent, Transmission, aria2 and shoal, one of them a liar: see `tests/src/swarming.rs`.

use shoal_tests::swarming::{Plan, everybody_gets_everything};

#[test]
fn everybody_gets_64_mib_and_the_liar_is_banned() {
    everybody_gets_everything(Plan {
        len: 64 << 20,
        piece_len: 256 << 10,
        bytes_per_s: 16 << 20,
        patience: 2,
    });
}
