//! Reading while downloading, through the library: the quick version of `tests/long/streaming.rs`.

use shoal_tests::streaming::{Stream, check_first_bytes};

/// The bound is in blocks, and the same for 64 MiB as for 1 GiB of pieces of that length.
#[test]
fn the_first_byte_after_a_seek_costs_a_few_pieces() {
    check_first_bytes("first bytes.bin", 64 << 20, 256 << 10, 16 << 20);
}

#[test]
fn a_file_is_read_to_its_end_while_it_comes() {
    let stream = Stream::begin("read to the end.bin", (8 << 20) + 12_345, 128 << 10, 32 << 20);
    stream.assert_reads_all();
    stream.stop();
}
