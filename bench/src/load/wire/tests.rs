use super::*;

const BLOCK: Block = Block {
    piece: 3,
    offset: 16_384,
    len: 16_384,
};

/// Feeds `stream` in chunks of `step` bytes; joins payload so that the result does not depend on the cuts.
fn events(stream: &[u8], step: usize) -> Result<Vec<String>, Violation> {
    let mut deframer = Deframer::new();
    let mut seen = Vec::new();
    for mut chunk in stream.chunks(step) {
        while let Some(event) = deframer.next(&mut chunk)? {
            match event {
                Event::Message(message) => seen.push(format!("{message:?}")),
                Event::BlockBegan(block) => seen.push(format!("began {}+{}", block.piece, block.offset)),
                Event::Payload {
                    block, last: true, ..
                } => seen.push(format!("block of {}", block.len)),
                Event::Payload { .. } => {}
            }
        }
    }
    Ok(seen)
}

fn check(stream: &[u8], expected: &[&str]) {
    for step in [1, 2, 3, 5, 13, 4_096, 1 << 20] {
        assert_eq!(events(stream, step).unwrap(), expected, "in chunks of {step}");
    }
}

#[test]
fn messages_are_found_wherever_the_stream_is_cut() {
    let mut stream = vec![
        0, 0, 0, 0, 0, 0, 0, 1, ID_UNCHOKE, 0, 0, 0, 5, ID_HAVE, 0, 0, 0, 9,
    ];
    stream.extend_from_slice(&[
        0,
        0,
        0,
        3,
        ID_BITFIELD,
        0xff,
        0x80,
        0,
        0,
        0,
        1,
        ID_HAVE_ALL,
        0,
        0,
        0,
        2,
        99,
        1,
    ]);
    stream.extend_from_slice(&block_header(BLOCK));
    stream.extend_from_slice(&[7; 16_384]);
    stream.extend_from_slice(&[0, 0, 0, 1, ID_CHOKE]);
    let expected = [
        "KeepAlive",
        "Unchoke",
        "Have(9)",
        "Bitfield([255, 128])",
        "HaveAll",
        "Other(99)",
        "began 3+16384",
        "block of 16384",
        "Choke",
    ];
    check(&stream, &expected);
}

#[test]
fn a_request_reads_back_as_itself() {
    let mut stream = Vec::new();
    request(&mut stream, BLOCK);
    check(&stream, &[&format!("{:?}", Message::Request(BLOCK))]);
}

#[test]
fn payload_is_passed_through_with_its_place() {
    let mut stream = block_header(Block { len: 10, ..BLOCK }).to_vec();
    stream.extend_from_slice(b"0123456789");
    let mut deframer = Deframer::new();
    let (mut first, mut second) = stream.split_at(BLOCK_HEADER_LEN + 4);
    assert!(matches!(
        deframer.next(&mut first),
        Ok(Some(Event::BlockBegan(_)))
    ));
    assert!(matches!(
        deframer.next(&mut first),
        Ok(Some(Event::Payload {
            at: 0,
            bytes: b"0123",
            last: false,
            ..
        }))
    ));
    assert_eq!(deframer.payload_left(), 6);
    assert!(matches!(
        deframer.next(&mut second),
        Ok(Some(Event::Payload {
            at: 4,
            bytes: b"456789",
            last: true,
            ..
        }))
    ));
    assert_eq!((deframer.payload_left(), deframer.head_left()), (0, Ok(4)));
}

#[test]
fn lost_framing_is_noticed() {
    assert_eq!(
        events(&[0xff, 0, 0, 0, 5], 5),
        Err(Violation::Length(0xff00_0000, 5))
    );
    assert_eq!(
        events(&[0, 0, 0, 9, ID_PIECE], 5),
        Err(Violation::Length(9, ID_PIECE))
    );
    assert_eq!(
        events(&[0, 1, 0, 9, ID_PIECE], 5),
        Err(Violation::Length(65_545, ID_PIECE))
    );
    assert_eq!(
        events(&[0, 0, 0, 2, ID_CHOKE, 0], 6),
        Err(Violation::Malformed(ID_CHOKE))
    );
}

#[test]
fn a_handshake_carries_what_is_offered() {
    for offered in [
        Extensions {
            fast: true,
            extended: false,
        },
        Extensions {
            fast: false,
            extended: true,
        },
    ] {
        let bytes: [u8; HANDSHAKE_LEN] = handshake([1; 20], [2; 20], offered).try_into().unwrap();
        assert_eq!(read_handshake(&bytes, [1; 20]), Ok(offered));
        assert_eq!(read_handshake(&bytes, [9; 20]), Err(Violation::Handshake));
    }
}

#[test]
fn the_request_limit_is_found_in_an_extension_handshake() {
    assert_eq!(requests_max(b"d1:mde4:reqqi500e1:v4:teste"), Some(500));
    assert_eq!(requests_max(b"d1:mde1:v4:teste"), None);
    assert_eq!(requests_max(b"d4:reqqi-5ee"), None);
}

#[test]
fn a_seeder_opens_with_what_both_sides_have() {
    let both = |fast, extended| Extensions { fast, extended };
    check(
        &seeder_opening(both(false, false), 9, 7),
        &["Bitfield([255, 128])"],
    );
    check(&seeder_opening(both(false, false), 8, 7), &["Bitfield([255])"]);
    check(&seeder_opening(both(true, false), 9, 7), &["HaveAll"]);
    let opening = seeder_opening(both(true, true), 9, 7);
    assert_eq!(requests_max(&opening), Some(7));
    let [have_all, extended] = &events(&opening, 3).unwrap()[..] else {
        panic!("two messages");
    };
    assert_eq!(have_all, "HaveAll");
    assert!(extended.starts_with("ExtensionHandshake"), "{extended}");
}
