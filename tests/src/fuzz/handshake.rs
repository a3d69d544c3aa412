//! The first 68 bytes of a connection.

use shoal_proto::handshake::{HANDSHAKE_LEN, Handshake, Reserved};
use shoal_proto::info_hash::InfoHash;

use crate::peer::PROTOCOL;

/// The first bytes of an input as a handshake, shorter ones filled up with zeros.
pub fn handshake(data: &[u8]) {
    let mut bytes = [0; HANDSHAKE_LEN];
    let len = data.len().min(HANDSHAKE_LEN);
    bytes[..len].copy_from_slice(&data[..len]);

    let Ok(handshake) = Handshake::parse(&bytes) else {
        assert!(!bytes.starts_with(PROTOCOL), "only another protocol is refused");
        return;
    };
    assert_eq!(handshake.encode(), bytes, "a handshake has one spelling");
    assert!(matches!(handshake.info_hash, InfoHash::V1(hash) if hash == bytes[28..48]));
    check_reserved(handshake.reserved);
    // Shown in every list of peers.
    let client = handshake.peer_id.client().to_string();
    assert!(
        !client.is_empty() && !client.chars().any(char::is_control),
        "{client:?}"
    );
    let shown = format!("{:?}", handshake.peer_id);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

/// Bits are added and found, and what both sides know is what each knows.
fn check_reserved(reserved: Reserved) {
    let ours = Reserved::NONE.with_fast().with_extension();
    let common = reserved.common(ours);
    assert_eq!(common, ours.common(reserved));
    assert_eq!(
        (common.dht(), common.fast(), common.extension()),
        (false, reserved.fast(), reserved.extension())
    );
    let all = reserved.with_dht().with_fast().with_extension();
    assert!(all.dht() && all.fast() && all.extension());
    assert_eq!(all.common(reserved), reserved, "adding takes nothing away");
}
