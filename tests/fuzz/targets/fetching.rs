//! Under `cargo fuzz`; what must hold stands in `shoal_tests::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tests::fuzz::fetching(data));
