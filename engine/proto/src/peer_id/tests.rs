use proptest::prelude::*;

use super::{CLIENTS, PeerId};

fn check(id: &[u8; 20], expected: &str) {
    assert_eq!(PeerId::new(*id).client().to_string(), expected);
}

#[test]
fn well_known_clients_are_named() {
    check(b"-SH0100-abcdefghijkl", "shoal 0.1.0");
    check(b"-qB4620-abcdefghijkl", "qBittorrent 4.6.2");
    check(b"-DE13F0-abcdefghijkl", "Deluge 1.3.15");
    check(b"-LT20B1-abcdefghijkl", "libtorrent 2.0.11.1");
    check(b"-lt0D60-abcdefghijkl", "rTorrent 0.13.6");
    check(b"A2-1-36-0-abcdefghij", "aria2 1.36.0");
    check(b"M7-10-5--abcdefghijk", "BitTorrent 7.10.5");
}

#[test]
fn what_names_nothing_is_unknown() {
    check(b"-??1234-abcdefghijkl", "unknown");
    check(b"-qB4620abcdefghijklm", "unknown");
    check(b"M\xff-\x00-5--abcdefghijkl", "unknown");
    check(&[0; 20], "unknown");
}

#[test]
fn a_version_that_is_no_digits_reads_as_zeros() {
    check(b"-TR\x1b[2J-abcdefghijkl", "Transmission 0.0.2.19");
}

#[test]
fn an_id_of_ours_is_the_version_and_what_was_drawn() {
    let id = PeerId::ours(*b"0123456789\r\n");
    assert_eq!(id.as_bytes(), b"-SH0100-0123456789\r\n");
    assert_eq!(id.to_string(), r"-SH0100-0123456789\r\n");
}

#[test]
fn the_list_of_clients_can_be_searched() {
    assert!(CLIENTS.is_sorted_by(|(first, _), (second, _)| first < second));
}

proptest! {
    #[test]
    fn any_bytes_display_without_control_characters(bytes: [u8; 20]) {
        let id = PeerId::new(bytes);
        let shown = format!("{id} {}", id.client());
        prop_assert!(!shown.contains(|c: char| c.is_control()));
    }
}
