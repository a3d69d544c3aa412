//! Reading while downloading a file of 1 GiB: see `tests/src/streaming.rs`.

use shoal_tests::streaming::check_first_bytes;

#[test]
fn the_first_byte_of_1_gib_costs_what_it_costs_of_64_mib() {
    check_first_bytes("first bytes of 1 GiB.bin", 1 << 30, 256 << 10, 32 << 20);
}

#[test]
fn pieces_of_1_mib() {
    check_first_bytes("first bytes of 1 MiB pieces.bin", 1 << 30, 1 << 20, 32 << 20);
}
