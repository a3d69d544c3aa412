//! Messages of the metadata exchange (BEP 9), and the pieces that they name.

use shoal_proto::bencode::decode_prefix;
use shoal_proto::limits::METADATA_PIECE_LEN;
use shoal_proto::metadata::{MetadataMessage, piece_range};

/// Any payload of a `ut_metadata` message.
pub fn metadata(data: &[u8]) {
    let Ok(Some(message)) = MetadataMessage::parse(data) else {
        return;
    };
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(MetadataMessage::parse(&written), Ok(Some(message)));

    let (document, behind) = decode_prefix(data).expect("a message begins with bencode");
    let number = |key| document.root().dict()?.get(key)?.integer();
    let (kind, piece) = match message {
        MetadataMessage::Request { piece } => (0, piece),
        MetadataMessage::Data {
            piece,
            total_len,
            data: block,
        } => {
            assert_eq!(block, behind, "the block is what follows the dictionary");
            assert_eq!(number(b"total_size"), Some(total_len.into()));
            check_range(piece, total_len as usize);
            (1, piece)
        }
        MetadataMessage::Reject { piece } => (2, piece),
    };
    assert_eq!(
        (number(b"msg_type"), number(b"piece")),
        (Some(kind), Some(piece.into()))
    );
    check_range(piece, data.len());
}

/// Pieces follow one another, none is empty, and only the last is short.
fn check_range(piece: u32, len: usize) {
    let Some(range) = piece_range(piece, len) else {
        assert!(u64::from(piece) * METADATA_PIECE_LEN as u64 >= len as u64);
        return;
    };
    assert_eq!(range.start, piece as usize * METADATA_PIECE_LEN);
    assert!(range.start < range.end && range.end <= len);
    assert!(range.len() == METADATA_PIECE_LEN || range.end == len);
    let before = piece.checked_sub(1).and_then(|before| piece_range(before, len));
    assert!(before.is_none_or(|before| before.end == range.start));
}
