//! The decoder of one connection's stream: arbitrary slices in, messages out.
//!
//! It keeps what is left of a frame at the end of a slice, and nothing else. See the parent module for its
//! promises.

use super::{FrameError, Message, PIECE_HEADER_LEN, PREFIX_LEN, frame_len_max, id, is_known};

/// Bytes of a frame that are collected without a heap allocation, prefix included: the length of a request,
/// which is the longest message of fixed size, and the one that seeders receive.
const SHORT_LEN_MAX: usize = 17;

/// Turns the bytes of a connection into messages.
#[derive(Debug)]
pub struct Decoder {
    frame_len_max: u32,
    pending: Pending,
    /// The start of a pending frame, or all of a short one that was just delivered.
    head: [u8; SHORT_LEN_MAX],
    /// The body of a pending long frame, or of one that was just delivered.
    body: Vec<u8>,
}

/// What has arrived of a frame that does not lie in one slice.
#[derive(Debug, Clone, Copy)]
enum Pending {
    /// Nothing: the next byte begins a frame.
    Nothing,
    /// Too few bytes, all in `head`, to know the frame's length and id.
    Prefix {
        /// Bytes in `head`.
        len: usize,
    },
    /// A frame that fits `head`.
    Short {
        /// Bytes in `head`.
        len: usize,
        /// Bytes that the whole frame has, prefix included.
        len_whole: usize,
    },
    /// A frame whose bytes behind the prefix go to `body`.
    Long {
        /// Bytes that the whole frame has behind the prefix.
        len_whole: usize,
    },
    /// A frame of a kind we do not know, not kept.
    Skipped {
        /// Bytes that are still to come.
        len_left: usize,
    },
    /// The header of a block that is handed on in portions.
    BlockHead {
        /// Bytes in `head`.
        len: usize,
    },
    /// The bytes of a block that is handed on in portions.
    Block {
        /// Bytes that are still to come.
        len_left: usize,
    },
}

/// What [`Decoder::next_part`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'m, 'i> {
    /// A whole message; never [`Message::Piece`].
    Message(Message<'m>),
    /// A block begins: its bytes are the parts that follow.
    BlockBegins {
        /// The piece's number.
        index: u32,
        /// Offset of the block in the piece.
        begin: u32,
        /// Bytes of the block.
        len: u32,
    },
    /// The next bytes of the block that began, where they lie in the input; never empty.
    BlockBytes(&'i [u8]),
}

/// How blocks are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// As messages like all others.
    Whole,
    /// In portions, as they arrive.
    InParts,
}

/// What taking input has led to.
enum Taken {
    /// The input is used up.
    All,
    /// The pending frame is whole, in `head` up to this length.
    Short(usize),
    /// The pending frame is whole, in `body`.
    Long,
    /// A frame was skipped to its end.
    Skipped,
    /// The header of a block is whole, in `head`.
    BlockHead,
}

impl Decoder {
    /// A decoder for a torrent of so many pieces. Where the count is not known yet (a magnet link), give
    /// [`crate::limits::PIECES_MAX`].
    pub fn new(pieces: u32) -> Decoder {
        Decoder {
            frame_len_max: frame_len_max(pieces),
            pending: Pending::Nothing,
            head: [0; SHORT_LEN_MAX],
            body: Vec::new(),
        }
    }

    /// Takes the next message off the front of `input`. `None` means that all of the input was taken and the
    /// next message is not whole yet. After an error the connection cannot be read any further.
    ///
    /// ```
    /// # use shoal_proto::message::{Decoder, Message};
    /// let mut decoder = Decoder::new(100);
    /// let mut input: &[u8] = b"\0\0\0\x01\x02\0\0\0\x05\x04\0\0";
    /// assert_eq!(decoder.next(&mut input), Ok(Some(Message::Interested)));
    /// assert_eq!(decoder.next(&mut input), Ok(None));
    /// let mut input: &[u8] = b"\0\x07";
    /// assert_eq!(decoder.next(&mut input), Ok(Some(Message::Have(7))));
    /// ```
    #[inline]
    pub fn next<'m, 'i: 'm>(&'m mut self, input: &mut &'i [u8]) -> Result<Option<Message<'m>>, FrameError> {
        loop {
            if let Pending::Nothing = self.pending {
                self.release();
                while let Some(frame) = self.whole_frame(input)? {
                    // Handed on untouched: taking the result apart and putting it together again costs as
                    // much as all the rest.
                    match Message::parse(frame) {
                        Ok(None) => {}
                        result => return result,
                    }
                }
                if input.is_empty() {
                    return Ok(None);
                }
                self.pending = Pending::Prefix { len: 0 };
            }
            match self.take(input, Blocks::Whole)? {
                Taken::All => return Ok(None),
                Taken::Skipped => {}
                Taken::Short(len) => return parse_collected(&self.head[PREFIX_LEN..len]),
                Taken::Long => return parse_collected(&self.body),
                Taken::BlockHead => unreachable!("blocks are asked for whole"),
            }
        }
    }

    /// The same for whoever fetches: blocks are not collected, their bytes are handed on where they lie. One
    /// connection is read by this or by [`Decoder::next`], not by both.
    ///
    /// ```
    /// # use shoal_proto::message::{Decoder, Part};
    /// let mut decoder = Decoder::new(100);
    /// let mut input: &[u8] = b"\0\0\0\x0c\x07\0\0\0\x05\0\0\x40\0ab";
    /// let begins = Part::BlockBegins { index: 5, begin: 16_384, len: 3 };
    /// assert_eq!(decoder.next_part(&mut input), Ok(Some(begins)));
    /// assert_eq!(decoder.next_part(&mut input), Ok(Some(Part::BlockBytes(b"ab"))));
    /// assert_eq!(decoder.next_part(&mut input), Ok(None));
    /// let mut input: &[u8] = b"c";
    /// assert_eq!(decoder.next_part(&mut input), Ok(Some(Part::BlockBytes(b"c"))));
    /// ```
    pub fn next_part<'m, 'i: 'm>(
        &'m mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Part<'m, 'i>>, FrameError> {
        loop {
            if let Pending::Block { len_left } = self.pending {
                if input.is_empty() {
                    return Ok(None);
                }
                let bytes = cut(input, len_left);
                self.pending = match len_left - bytes.len() {
                    0 => Pending::Nothing,
                    len_left => Pending::Block { len_left },
                };
                return Ok(Some(Part::BlockBytes(bytes)));
            }
            if let Pending::Nothing = self.pending {
                self.release();
                if input.is_empty() {
                    return Ok(None);
                }
                let is_block = input.get(PREFIX_LEN) == Some(&id::PIECE);
                if let Some((head, rest)) = input.split_first_chunk::<PIECE_HEADER_LEN>()
                    && is_block
                {
                    *input = rest;
                    self.head[..PIECE_HEADER_LEN].copy_from_slice(head);
                    return self.begin_block().map(Some);
                }
                if !is_block && let Some(frame) = self.whole_frame(input)? {
                    match Message::parse(frame)? {
                        None => continue,
                        Some(message) => return Ok(Some(Part::Message(message))),
                    }
                }
                self.pending = Pending::Prefix { len: 0 };
            }
            match self.take(input, Blocks::InParts)? {
                Taken::All => return Ok(None),
                Taken::Skipped => {}
                Taken::Short(len) => return message(parse_collected(&self.head[PREFIX_LEN..len])),
                Taken::Long => return message(parse_collected(&self.body)),
                Taken::BlockHead => return self.begin_block().map(Some),
            }
        }
    }

    /// The header of a block stands in `head`.
    fn begin_block<'m, 'i>(&mut self) -> Result<Part<'m, 'i>, FrameError> {
        let field = |at: usize| {
            let bytes = self.head[at..]
                .first_chunk()
                .expect("the head holds a block's header");
            u32::from_be_bytes(*bytes)
        };
        let (index, begin) = (field(PREFIX_LEN + 1), field(PREFIX_LEN + 5));
        let prefix = self.head.first_chunk().expect("the head is longer than a prefix");
        let len_behind = self.checked_len(*prefix)?;
        let Some(len) = len_behind.checked_sub(PIECE_HEADER_LEN - PREFIX_LEN) else {
            return Err(FrameError::WrongLength {
                id: id::PIECE,
                len: len_behind as u32,
            });
        };
        self.pending = match len {
            0 => Pending::Nothing,
            len_left => Pending::Block { len_left },
        };
        Ok(Part::BlockBegins {
            index,
            begin,
            len: len as u32,
        })
    }

    /// Bytes of heap memory that an unfinished frame holds; a peer is charged for them.
    pub fn heap_len(&self) -> usize {
        self.body.capacity()
    }

    /// Frees a long frame that was delivered: its message is no longer borrowed.
    fn release(&mut self) {
        if self.body.capacity() > 0 {
            self.body = Vec::new();
        }
    }

    /// The frame at the front of the input, if all of it is there.
    fn whole_frame<'i>(&self, input: &mut &'i [u8]) -> Result<Option<&'i [u8]>, FrameError> {
        let Some((prefix, rest)) = input.split_first_chunk() else {
            return Ok(None);
        };
        let len = self.checked_len(*prefix)?;
        let Some((frame, rest)) = rest.split_at_checked(len) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(frame))
    }

    /// Adds input to the pending frame.
    fn take(&mut self, input: &mut &[u8], blocks: Blocks) -> Result<Taken, FrameError> {
        loop {
            match self.pending {
                Pending::Nothing | Pending::Block { .. } => return Ok(Taken::All),
                Pending::Prefix { len } => {
                    // The id is wanted as well, unless the frame is the empty one that has none.
                    let wanted = if len < PREFIX_LEN {
                        PREFIX_LEN
                    } else {
                        PREFIX_LEN + 1
                    };
                    let len = self.fill_head(input, len, wanted);
                    self.pending = Pending::Prefix { len };
                    if len < wanted {
                        return Ok(Taken::All);
                    }
                    self.pending = self.classify(len, blocks)?;
                }
                Pending::Short { len, len_whole } => {
                    let len = self.fill_head(input, len, len_whole);
                    self.pending = Pending::Short { len, len_whole };
                    return Ok(self.finish(len == len_whole, Taken::Short(len)));
                }
                Pending::Long { len_whole } => {
                    self.fill_body(input, len_whole);
                    return Ok(self.finish(self.body.len() == len_whole, Taken::Long));
                }
                Pending::Skipped { len_left } => {
                    let len_left = len_left - cut(input, len_left).len();
                    self.pending = Pending::Skipped { len_left };
                    return Ok(self.finish(len_left == 0, Taken::Skipped));
                }
                Pending::BlockHead { len } => {
                    let len = self.fill_head(input, len, PIECE_HEADER_LEN);
                    self.pending = Pending::BlockHead { len };
                    return Ok(self.finish(len == PIECE_HEADER_LEN, Taken::BlockHead));
                }
            }
        }
    }

    /// Decides how to collect a frame of which `len` bytes, the prefix or the prefix and the id, are in
    /// `head`.
    fn classify(&mut self, len: usize, blocks: Blocks) -> Result<Pending, FrameError> {
        let prefix = self.head.first_chunk().expect("the head is longer than a prefix");
        let len_behind = self.checked_len(*prefix)?;
        let len_whole = PREFIX_LEN + len_behind;
        if len_behind > 0 && len == PREFIX_LEN {
            return Ok(Pending::Prefix { len });
        }
        let id = self.head[PREFIX_LEN];
        Ok(if len_behind > 0 && !is_known(id) {
            Pending::Skipped {
                len_left: len_whole - len,
            }
        } else if blocks == Blocks::InParts && id == id::PIECE && len_whole >= PIECE_HEADER_LEN {
            Pending::BlockHead { len }
        } else if len_whole <= SHORT_LEN_MAX {
            Pending::Short { len, len_whole }
        } else {
            self.body.push(id);
            Pending::Long {
                len_whole: len_behind,
            }
        })
    }

    fn finish(&mut self, whole: bool, taken: Taken) -> Taken {
        if !whole {
            return Taken::All;
        }
        self.pending = Pending::Nothing;
        taken
    }

    fn fill_head(&mut self, input: &mut &[u8], len: usize, wanted: usize) -> usize {
        let taken = cut(input, wanted - len);
        let end = len + taken.len();
        self.head[len..end].copy_from_slice(taken);
        end
    }

    /// Doubles the body when it is full, but never beyond the frame, so that memory follows what the peer has
    /// sent.
    fn fill_body(&mut self, input: &mut &[u8], len_whole: usize) {
        let len_left = len_whole - self.body.len();
        let taken = cut(input, len_left);
        if self.body.capacity() - self.body.len() < taken.len() {
            self.body
                .reserve_exact(taken.len().max(self.body.len()).min(len_left));
        }
        self.body.extend_from_slice(taken);
    }

    fn checked_len(&self, prefix: [u8; PREFIX_LEN]) -> Result<usize, FrameError> {
        let len = u32::from_be_bytes(prefix);
        if len > self.frame_len_max {
            return Err(FrameError::TooLong {
                len,
                max: self.frame_len_max,
            });
        }
        Ok(len as usize)
    }
}

/// The same as [`Message::parse`], outside of the loop that it is inlined into.
#[inline(never)]
fn parse_collected(frame: &[u8]) -> Result<Option<Message<'_>>, FrameError> {
    Message::parse(frame)
}

fn message<'m, 'i>(
    parsed: Result<Option<Message<'m>>, FrameError>,
) -> Result<Option<Part<'m, 'i>>, FrameError> {
    // What was collected is of a kind that is known.
    Ok(parsed?.map(Part::Message))
}

/// Takes up to `len` bytes off the front of the input.
fn cut<'i>(input: &mut &'i [u8], len: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    front
}
