//! The extension handshake (BEP 10).

use shoal_proto::extension::ExtensionHandshake;
use shoal_proto::limits::{CLIENT_NAME_LEN_MAX, METAINFO_LEN_MAX};

/// Any payload of extension message 0.
pub fn extension(data: &[u8]) {
    let Ok(said) = ExtensionHandshake::parse(data) else {
        return;
    };
    if let Some(client) = &said.client {
        assert!((1..=CLIENT_NAME_LEN_MAX).contains(&client.len()), "{client:?}");
        assert!(!client.chars().any(char::is_control), "{client:?}");
    }
    assert_ne!(said.port, Some(0));
    assert_ne!(said.requests_len_max, Some(0));
    let metadata_lens = 1..=METAINFO_LEN_MAX as u32;
    assert!(said.metadata_len.is_none_or(|len| metadata_lens.contains(&len)));

    let mut written = Vec::new();
    said.encode(&mut written);
    assert_eq!(ExtensionHandshake::parse(&written), Ok(said.clone()));
    // What follows the dictionary is not looked at.
    written.extend(data);
    assert_eq!(ExtensionHandshake::parse(&written), Ok(said));
}
