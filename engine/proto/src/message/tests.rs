use proptest::prelude::*;

use super::{BlockRequest, Decoder, FrameError, Message, Part, frame_len_max, piece_header};
use crate::layout::{FileLength, Layout};

/// What the decoder makes of a stream that arrives in slices of `step` bytes.
fn decode(stream: &[u8], step: usize) -> Result<Vec<String>, FrameError> {
    let mut decoder = Decoder::new(1_000);
    let mut messages = Vec::new();
    for mut slice in stream.chunks(step) {
        while let Some(message) = decoder.next(&mut slice)? {
            messages.push(format!("{message:?}"));
        }
        assert!(slice.is_empty(), "a decoder that wants more has taken everything");
    }
    Ok(messages)
}

/// The same by parts, with the blocks put together again.
fn decode_parts(stream: &[u8], step: usize) -> Result<Vec<String>, FrameError> {
    let mut decoder = Decoder::new(1_000);
    let mut messages = Vec::new();
    let mut block = None;
    for mut slice in stream.chunks(step) {
        while let Some(part) = decoder.next_part(&mut slice)? {
            match part {
                Part::Message(message) => messages.push(format!("{message:?}")),
                Part::BlockBegins { index, begin, len } => block = Some((index, begin, len, Vec::new())),
                Part::BlockBytes(bytes) => {
                    assert!(!bytes.is_empty());
                    block.as_mut().expect("bytes follow a beginning").3.extend(bytes);
                }
            }
            if let Some((index, begin, len, data)) = &block
                && *len as usize == data.len()
            {
                let (index, begin) = (*index, *begin);
                messages.push(format!("{:?}", Message::Piece { index, begin, data }));
                block = None;
            }
        }
        assert!(slice.is_empty(), "a decoder that wants more has taken everything");
    }
    Ok(messages)
}

/// The result must not depend on how the stream was cut, nor on how blocks are delivered.
fn check(stream: &[u8], expected: Result<&[Message<'_>], FrameError>) {
    let expected = expected.map(|messages| messages.iter().map(|m| format!("{m:?}")).collect::<Vec<_>>());
    for step in [1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 18, 64, usize::MAX] {
        assert_eq!(decode(stream, step), expected, "in slices of {step}");
        assert_eq!(
            decode_parts(stream, step),
            expected,
            "by parts, in slices of {step}"
        );
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

const BLOCK: BlockRequest = BlockRequest {
    index: 1,
    begin: 0x4000,
    length: 0x4000,
};

#[test]
fn every_message_has_the_bytes_of_its_bep() {
    let block = b"\0\0\0\x01\0\0\x40\0\0\0\x40\0";
    let with = |id: u8, payload: &[u8]| frame(&[&[id], payload].concat());
    for (message, expected) in [
        (Message::KeepAlive, b"\0\0\0\0".to_vec()),
        (Message::Choke, with(0, b"")),
        (Message::Unchoke, with(1, b"")),
        (Message::Interested, with(2, b"")),
        (Message::NotInterested, with(3, b"")),
        (Message::Have(258), with(4, b"\0\0\x01\x02")),
        (Message::Bitfield(b"\xf0\x80"), with(5, b"\xf0\x80")),
        (Message::Request(BLOCK), with(6, block)),
        (
            Message::Piece {
                index: 1,
                begin: 2,
                data: b"data",
            },
            with(7, b"\0\0\0\x01\0\0\0\x02data"),
        ),
        (Message::Cancel(BLOCK), with(8, block)),
        (Message::Port(6881), with(9, b"\x1a\xe1")),
        (Message::Suggest(1), with(13, b"\0\0\0\x01")),
        (Message::HaveAll, with(14, b"")),
        (Message::HaveNone, with(15, b"")),
        (Message::Reject(BLOCK), with(16, block)),
        (Message::AllowedFast(1), with(17, b"\0\0\0\x01")),
        (
            Message::Extended {
                id: 3,
                payload: b"de",
            },
            with(20, b"\x03de"),
        ),
    ] {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, expected);
        check(&bytes, Ok(&[message]));
    }
}

#[test]
fn the_header_of_a_block_is_the_start_of_its_message() {
    let mut bytes = Vec::new();
    Message::Piece {
        index: 9,
        begin: 16_384,
        data: &[1; 100],
    }
    .encode(&mut bytes);
    assert_eq!(bytes[..13], piece_header(9, 16_384, 100));
}

#[test]
fn long_and_short_messages_in_a_row_all_arrive() {
    let data = [7; 1000];
    let messages = [
        Message::Bitfield(&[0xAB; 125]),
        Message::Request(BLOCK),
        Message::Piece {
            index: 5,
            begin: 0,
            data: &data,
        },
        Message::KeepAlive,
        Message::Request(BLOCK),
        Message::Extended {
            id: 0,
            payload: b"d1:md11:ut_metadatai3eee",
        },
        Message::Choke,
    ];
    let mut stream = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut stream));
    check(&stream, Ok(&messages));
}

#[test]
fn case_22_giant_lengths_are_refused_by_their_prefix() {
    let max = frame_len_max(1_000);
    for len in [max + 1, 1 << 24, u32::MAX] {
        check(&len.to_be_bytes(), Err(FrameError::TooLong { len, max }));
    }
    check(&max.to_be_bytes(), Ok(&[]));
}

#[test]
fn case_22_a_flood_of_empty_frames_is_keep_alives() {
    check(&[0; 400], Ok(&[Message::KeepAlive; 100]));
}

#[test]
fn case_22_unknown_ids_are_skipped() {
    let stream = [frame(&[10]), frame(&[21; 30_000]), frame(&[255; 13]), frame(&[2])].concat();
    check(&stream, Ok(&[Message::Interested]));
}

#[test]
fn case_22_truncated_messages_are_not_delivered() {
    let mut stream = Vec::new();
    Message::Request(BLOCK).encode(&mut stream);
    for len in 0..stream.len() {
        check(&stream[..len], Ok(&[]));
    }
}

#[test]
fn case_22_lengths_that_do_not_fit_the_message_are_refused() {
    for (id, len) in [
        (0, 2),
        (3, 5),
        (4, 4),
        (4, 6),
        (6, 12),
        (6, 14),
        (7, 8),
        (8, 1),
        (9, 2),
        (14, 2),
        (16, 17),
        (17, 9),
        (20, 1),
    ] {
        let mut body = vec![0; len];
        body[0] = id;
        check(
            &frame(&body),
            Err(FrameError::WrongLength { id, len: len as u32 }),
        );
    }
}

#[test]
fn case_23_requests_that_cannot_be_served_are_no_spans() {
    let files = [FileLength {
        len: (1 << 20) + 1,
        padding: false,
    }];
    let layout = Layout::new(1 << 20, files).unwrap();
    let check = |index, begin, length, expected: bool| {
        let request = BlockRequest { index, begin, length };
        let span = request.span(&layout);
        assert_eq!(span.is_some(), expected, "{request:?}");
        assert!(span.is_none_or(|span| BlockRequest::from(span) == request));
    };
    check(0, 0, 16_384, true);
    check(0, 0, 131_072, true);
    check(0, 1, 16_385, true);
    check(1, 0, 1, true);
    check(0, 0, 131_073, false);
    check(0, 0, 1 << 20, false);
    check(0, 0, 0, false);
    check(2, 0, 1, false);
    check(1, 0, 2, false);
    check(0, u32::MAX, 16_384, false);
    check(0, (1 << 20) - 1, 2, false);
}

#[test]
fn the_longest_frame_follows_from_the_piece_count() {
    assert_eq!(frame_len_max(1), 32 * 1024);
    assert_eq!(frame_len_max(2_097_152), 1 + 262_144);
    assert_eq!(frame_len_max(u32::MAX), 1 + 262_144);
}

#[test]
fn a_decoder_between_frames_holds_no_memory() {
    let mut decoder = Decoder::new(1_000);
    let mut stream = Vec::new();
    Message::Bitfield(&[0; 125]).encode(&mut stream);
    Message::Request(BLOCK).encode(&mut stream);
    let (mut first, mut second) = stream.split_at(100);
    assert_eq!(decoder.next(&mut first), Ok(None));
    assert!((1..=126).contains(&decoder.heap_len()));
    assert_eq!(decoder.next(&mut second), Ok(Some(Message::Bitfield(&[0; 125]))));
    assert_eq!(decoder.next(&mut second), Ok(Some(Message::Request(BLOCK))));
    assert_eq!(decoder.heap_len(), 0);
}

#[test]
fn memory_follows_what_arrived_and_not_what_was_announced() {
    let mut decoder = Decoder::new(1_000);
    let announced = [&30_000_u32.to_be_bytes()[..], &[20, 0, 0]].concat();
    assert_eq!(decoder.next(&mut announced.as_slice()), Ok(None));
    assert!(decoder.heap_len() <= 16);
    for _ in 0..29 {
        assert_eq!(decoder.next(&mut [0; 1000].as_slice()), Ok(None));
        assert!(decoder.heap_len() <= 30_000);
    }
}

proptest! {
    #[test]
    fn any_stream_reads_the_same_however_it_is_cut(
        stream in prop::collection::vec(prop_oneof![4 => Just(0_u8), 1 => any::<u8>()], 0..200),
        step in 1_usize..40,
    ) {
        prop_assert_eq!(decode(&stream, step), decode(&stream, usize::MAX));
    }

    #[test]
    fn frames_of_any_kind_read_the_same_however_they_are_cut(
        bodies in prop::collection::vec((0_u8..24, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        step in 1_usize..40,
    ) {
        let stream: Vec<u8> =
            bodies.iter().flat_map(|(id, payload)| frame(&[&[*id], payload.as_slice()].concat())).collect();
        prop_assert_eq!(decode(&stream, step), decode(&stream, usize::MAX));
    }

    #[test]
    fn any_bytes_in_one_frame_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(Some(message)) = Message::parse(&body) {
            let mut written = Vec::new();
            message.encode(&mut written);
            prop_assert_eq!(written, frame(&body));
        }
    }
}
