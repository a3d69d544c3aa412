use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{MetadataError, MetadataMessage, piece_range};

fn check(payload: &[u8], expected: Result<Option<MetadataMessage<'_>>, MetadataError>) {
    assert_eq!(
        MetadataMessage::parse(payload),
        expected,
        "{}",
        String::from_utf8_lossy(payload)
    );
}

/// The examples of BEP 9.
#[test]
fn the_examples_of_the_proposal_read_as_it_says() {
    check(
        b"d8:msg_typei0e5:piecei0ee",
        Ok(Some(MetadataMessage::Request { piece: 0 })),
    );
    check(
        b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx",
        Ok(Some(MetadataMessage::Data {
            piece: 0,
            total_len: 34_256,
            data: b"xxxxxxxx",
        })),
    );
    check(
        b"d8:msg_typei2e5:piecei0ee",
        Ok(Some(MetadataMessage::Reject { piece: 0 })),
    );
    check(b"d8:msg_typei9e5:piecei0ee", Ok(None));
}

#[test]
fn what_lacks_its_numbers_is_refused() {
    check(b"d8:msg_typei0ee", Err(MetadataError::Lacks("piece")));
    check(b"d5:piecei0ee", Err(MetadataError::Lacks("msg_type")));
    check(b"d8:msg_typei0e5:piecei-1ee", Err(MetadataError::Lacks("piece")));
    check(
        b"d8:msg_typei1e5:piecei0ee",
        Err(MetadataError::Lacks("total_size")),
    );
    check(b"le", Err(MetadataError::Lacks("a dictionary")));
    assert!(matches!(
        MetadataMessage::parse(b"d8:msg"),
        Err(MetadataError::Bencode(_))
    ));
}

#[test]
fn pieces_cover_the_dictionary_and_nothing_behind_it() {
    assert_eq!(piece_range(0, 100), Some(0..100));
    assert_eq!(piece_range(1, 16_385), Some(16_384..16_385));
    assert_eq!(piece_range(1, 16_384), None);
    assert_eq!(piece_range(u32::MAX, usize::MAX >> 40), None);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(piece in any::<u32>(), total_len in any::<u32>(), data in any::<Vec<u8>>()) {
        for message in [
            MetadataMessage::Request { piece },
            MetadataMessage::Data { piece, total_len, data: &data },
            MetadataMessage::Reject { piece },
        ] {
            let mut payload = Vec::new();
            message.encode(&mut payload);
            prop_assert_eq!(MetadataMessage::parse(&payload), Ok(Some(message)));
        }
    }

    #[test]
    fn hostile_bytes_never_panic(payload in any::<Vec<u8>>()) {
        let _ = MetadataMessage::parse(&payload);
    }
}
