//! Hashing what chunks hold: bytes in memory where they lie, bytes in the page cache strip by strip.
//!
//! A strip is copied out of the page cache and hashed while it is still in the second-level cache, so cached data
//! crosses the memory bus once.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use shoal_world::Errno;

use super::files::errno_of;
use crate::hash::{Feed, Hasher, LANES_MAX, Stream};

/// Strips of all lanes together: half of the smallest second-level cache of the processors this is for.
const STRIPS_LEN: usize = 256 << 10;

/// What padding consists of.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Some bytes of a piece.
pub(super) enum Span<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In the page cache, or to be read through it.
    Cached {
        part: usize,
        file: &'a File,
        offset: u64,
        len: usize,
    },
    /// So many zeroes.
    Zeroes(usize),
}

/// The bytes of one piece that one chunk holds, and the stream that takes them.
pub(super) struct Fragment<'a> {
    stream: Stream,
    /// What comes next, in order.
    spans: VecDeque<Span<'a>>,
    unread: Option<Unread>,
}

/// Bytes that could not be read.
pub(super) struct Unread {
    pub(super) part: usize,
    /// What the operating system said, if anything.
    pub(super) errno: Option<Errno>,
}

impl<'a> Fragment<'a> {
    /// These bytes are next in this stream.
    pub(super) fn new(stream: Stream, spans: VecDeque<Span<'a>>) -> Fragment<'a> {
        Fragment {
            stream,
            spans,
            unread: None,
        }
    }

    /// Bytes of this part are missing already.
    pub(super) fn unread(part: usize) -> Fragment<'a> {
        let unread = Some(Unread { part, errno: None });
        Fragment {
            stream: Stream::new(),
            spans: VecDeque::new(),
            unread,
        }
    }

    /// The stream after all of the spans, or why there is none.
    pub(super) fn into_result(self) -> Result<Stream, Unread> {
        self.unread.map_or(Ok(self.stream), Err)
    }
}

/// See the module.
pub(super) struct Hashing<'a> {
    hasher: &'a Hasher,
    strips: Vec<u8>,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(hasher: &'a Hasher) -> Hashing<'a> {
        Hashing {
            hasher,
            strips: vec![0; STRIPS_LEN],
        }
    }

    /// Feeds every fragment's spans to its stream.
    pub(super) fn advance(&mut self, fragments: &mut [Fragment<'_>]) {
        for fragments in fragments.chunks_mut(self.hasher.lanes()) {
            let cached = fragments
                .iter()
                .flat_map(|fragment| &fragment.spans)
                .any(Span::is_cached);
            // Without strips nothing limits how far a lane goes at once.
            let limit = if cached {
                STRIPS_LEN / LANES_MAX.min(fragments.len())
            } else {
                usize::MAX
            };
            while fragments.iter().any(|fragment| !fragment.spans.is_empty()) {
                self.advance_strip(fragments, limit);
            }
        }
    }

    /// Feeds up to `limit` bytes of every fragment.
    fn advance_strip(&mut self, fragments: &mut [Fragment<'_>], limit: usize) {
        let strips = self.strips.chunks_mut(limit.min(STRIPS_LEN / fragments.len()));
        let mut segments = Vec::with_capacity(fragments.len());
        for (fragment, strip) in fragments.iter_mut().zip(strips) {
            let taken = take(&mut fragment.spans, limit, strip);
            segments.push(taken.unwrap_or_else(|unread| {
                fragment.spans.clear();
                fragment.unread = Some(unread);
                Vec::new()
            }));
        }
        let feeds = fragments.iter_mut().zip(&segments);
        self.hasher.advance(feeds.map(|(fragment, segments)| Feed {
            stream: &mut fragment.stream,
            segments,
        }));
    }
}

impl Span<'_> {
    fn is_cached(&self) -> bool {
        matches!(self, Span::Cached { .. })
    }
}

/// Takes up to `limit` bytes off the front of `spans`, copying cached ones into `strip`.
fn take<'s, 'a: 's>(
    spans: &mut VecDeque<Span<'a>>,
    limit: usize,
    mut strip: &'s mut [u8],
) -> Result<Vec<&'s [u8]>, Unread> {
    let mut segments = Vec::new();
    let mut left = limit;
    while left > 0
        && let Some(span) = spans.pop_front()
    {
        let (segment, rest) = match span {
            Span::Bytes(bytes) => {
                let (segment, rest) = bytes.split_at(bytes.len().min(left));
                (segment, (!rest.is_empty()).then_some(Span::Bytes(rest)))
            }
            Span::Zeroes(len) => {
                let taken = len.min(left).min(ZEROES.len());
                (
                    &ZEROES[..taken],
                    (taken < len).then_some(Span::Zeroes(len - taken)),
                )
            }
            Span::Cached {
                part,
                file,
                offset,
                len,
            } => {
                let (segment, free) = strip.split_at_mut(len.min(left));
                strip = free;
                read(file, segment, offset).map_err(|errno| Unread { part, errno })?;
                let taken = segment.len();
                let rest = Span::Cached {
                    part,
                    file,
                    offset: offset + taken as u64,
                    len: len - taken,
                };
                (&*segment, (taken < len).then_some(rest))
            }
        };
        left -= segment.len();
        segments.push(segment);
        if let Some(rest) = rest {
            spans.push_front(rest);
        }
    }
    Ok(segments)
}

/// Fills `bytes`. A file that ends before they are full was changed, which its stamps will tell.
fn read(file: &File, bytes: &mut [u8], offset: u64) -> Result<(), Option<Errno>> {
    file.read_exact_at(bytes, offset)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => None,
            _ => Some(errno_of(&error)),
        })
}
