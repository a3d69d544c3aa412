//! The stream of messages behind the handshake: however it is cut, it says the same, and costs what has arrived.
//!
//! An input is four bytes of piece count, one byte that says how many cuts follow, one byte for each cut, and the stream:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | pieces of the torrent, big-endian; more than there can be are taken modulo the maximum |
//! | 1 | how many portion lengths follow |
//! | that many | bytes in each portion, used in turn; 0 stands for 1 |
//! | the rest | what the peer sends |

use shoal_proto::bitfield::{Bitfield, wire_len};
use shoal_proto::layout::{FileLength, Layout};
use shoal_proto::limits::{PIECES_MAX, REQUEST_LEN_MAX};
use shoal_proto::message::{BlockRequest, Decoder, FrameError, Message, frame_len_max};

/// Bytes in each piece but the last of the torrent that requests are checked against: more than one request may ask for.
const PIECE_LEN: u32 = 256 * 1024;

/// Bytes that its last piece lacks.
const LAST_PIECE_LACKS: u32 = 5_000;

const _: () = assert!(PIECE_LEN > REQUEST_LEN_MAX && LAST_PIECE_LACKS < PIECE_LEN);

/// Bytes that a vector of bytes has room for as soon as it has room for one.
const SMALLEST_ALLOCATION: usize = 8;

/// Any stream, whole and in portions.
pub fn messages(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let expected = Heard::plainly(input.stream, input.pieces);
    assert_eq!(
        heard(&input, &[input.stream.len().max(1)]),
        expected,
        "in one portion"
    );
    assert_eq!(
        heard(&input, &input.portions),
        expected,
        "in portions of {:?}",
        input.portions
    );
    assert_eq!(heard(&input, &[1]), expected, "byte by byte");

    let mut frames = expected.frames.as_slice();
    while let Some((frame, rest)) = split_frame(frames) {
        let message = Message::parse(&frame[4..]).expect("what was heard parses");
        check_message(message.expect("unknown kinds were left out"), frame, input.pieces);
        frames = rest;
    }
}

struct Input<'a> {
    pieces: u32,
    portions: Vec<usize>,
    stream: &'a [u8],
}

impl Input<'_> {
    fn read(data: &[u8]) -> Option<Input<'_>> {
        let (pieces, rest) = data.split_first_chunk()?;
        let (count, rest) = rest.split_first()?;
        let (portions, stream) = rest.split_at_checked(usize::from(*count))?;
        let mut portions: Vec<_> = portions.iter().map(|len| usize::from(*len).max(1)).collect();
        if portions.is_empty() {
            portions.push(7);
        }
        Some(Input {
            pieces: 1 + u32::from_be_bytes(*pieces) % PIECES_MAX,
            portions,
            stream,
        })
    }
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    /// The frames of all messages that are known, length prefixes included.
    frames: Vec<u8>,
    /// What ended the conversation.
    error: Option<FrameError>,
}

impl Heard {
    /// A second decoder: it looks at the stream as a whole and copies.
    fn plainly(mut stream: &[u8], pieces: u32) -> Heard {
        let mut heard = Heard {
            frames: Vec::new(),
            error: None,
        };
        let max = frame_len_max(pieces);
        while let Some(prefix) = stream.first_chunk() {
            let len = u32::from_be_bytes(*prefix);
            if len > max {
                heard.error = Some(FrameError::TooLong { len, max });
                break;
            }
            let Some((frame, rest)) = split_frame(stream) else {
                break;
            };
            match Message::parse(&frame[4..]) {
                Ok(None) => {}
                Ok(Some(_)) => heard.frames.extend(frame),
                Err(error) => {
                    heard.error = Some(error);
                    break;
                }
            }
            stream = rest;
        }
        heard
    }
}

/// The frame at the front of a stream, length prefix included.
fn split_frame(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32::from_be_bytes(*stream.first_chunk()?);
    stream.split_at_checked(4 + len as usize)
}

/// What the engine's decoder makes of the stream, given to it in portions of these lengths in turn.
fn heard(input: &Input<'_>, portions: &[usize]) -> Heard {
    let mut decoder = Decoder::new(input.pieces);
    let mut heard = Heard {
        frames: Vec::new(),
        error: None,
    };
    // Where the unfinished frame begins, and what has arrived.
    let (mut start, mut end) = (0, 0);
    for len in portions.iter().cycle() {
        let portion = &input.stream[end..input.stream.len().min(end + len)];
        take(&mut decoder, portion, &mut heard);
        end += portion.len();
        if portion.is_empty() || heard.error.is_some() {
            break;
        }
        while let Some((frame, _)) = split_frame(&input.stream[start..end]) {
            start += frame.len();
        }
        check_memory(&decoder, end - start, input.pieces);
    }
    heard
}

fn take(decoder: &mut Decoder, mut portion: &[u8], heard: &mut Heard) {
    loop {
        match decoder.next(&mut portion) {
            Ok(Some(message)) => message.encode(&mut heard.frames),
            Ok(None) => return assert!(portion.is_empty(), "what is not a message yet was taken"),
            Err(error) => return heard.error = Some(error),
        }
    }
}

/// Memory follows what has arrived of the unfinished frame, not what was announced of it.
fn check_memory(decoder: &Decoder, arrived_len: usize, pieces: u32) {
    let held = decoder.heap_len();
    assert!(
        held <= 2 * arrived_len + SMALLEST_ALLOCATION,
        "{held} for {arrived_len}"
    );
    assert!(held <= frame_len_max(pieces) as usize, "{held}");
    assert!(held == 0 || arrived_len > 0, "{held} between two frames");
}

fn check_message(message: Message<'_>, frame: &[u8], pieces: u32) {
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(written, frame, "{message:?} has one spelling");
    match message {
        Message::Request(block) | Message::Cancel(block) | Message::Reject(block) => {
            check_block(block, pieces);
        }
        Message::Bitfield(bytes) => check_bitfield(bytes, pieces),
        _ => {}
    }
}

/// A block exists if its bytes do, which is decided here with numbers that cannot overflow.
fn check_block(block: BlockRequest, pieces: u32) {
    let total_len = u64::from(pieces) * u64::from(PIECE_LEN) - u64::from(LAST_PIECE_LACKS);
    let file = FileLength {
        len: total_len,
        padding: false,
    };
    let layout = Layout::new(PIECE_LEN, [file]).expect("a layout within all limits");
    let piece_start = u64::from(block.index) * u64::from(PIECE_LEN);
    let piece_end = total_len.min(piece_start + u64::from(PIECE_LEN));
    let start = piece_start + u64::from(block.begin);
    let end = start + u64::from(block.length);
    let exists = block.index < pieces && start < end && end <= piece_end && block.length <= REQUEST_LEN_MAX;

    let span = block.span(&layout);
    assert_eq!(span.is_some(), exists, "{block:?} of {pieces} pieces");
    let Some(span) = span else { return };
    assert_eq!(BlockRequest::from(span), block);
    assert_eq!(layout.offset(span), start);
    assert_eq!(layout.segments(start, span.len().into()).count(), 1);
}

/// A bitfield has the right length and no spare bits, or is refused; its bits are counted one by one.
fn check_bitfield(bytes: &[u8], pieces: u32) {
    let set = |piece: u32| bytes[piece as usize / 8] & (0x80 >> (piece % 8)) != 0;
    let right_len = bytes.len() == wire_len(pieces);
    let no_spare = right_len && (pieces..wire_len(pieces) as u32 * 8).all(|spare| !set(spare));
    let read = Bitfield::from_wire(bytes, pieces);
    assert_eq!(read.is_ok(), no_spare, "{pieces} pieces");
    let Ok(field) = read else { return };

    let present: Vec<_> = (0..pieces).filter(|piece| set(*piece)).collect();
    assert!(
        field
            .present()
            .map(|piece| piece.get())
            .eq(present.iter().copied())
    );
    assert!(
        field
            .missing()
            .map(|piece| piece.get())
            .eq((0..pieces).filter(|piece| !set(*piece)))
    );
    assert_eq!(field.count() as usize, present.len());
    let mut written = Vec::new();
    field.write_wire(&mut written);
    assert_eq!(written, bytes, "a bitfield has one spelling");
}
