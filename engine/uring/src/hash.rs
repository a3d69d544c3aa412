//! SHA-1 of many messages side by side.
//!
//! One message cannot be hashed faster than one chain of dependent rounds allows, so speed comes from hashing several
//! at once: [`Hasher::advance`] takes any number of messages, each in any number of segments of any length, and feeds
//! them to whichever [`Kernel`] finishes that many soonest on this processor. A [`Stream`] is the state of one message
//! between calls, so messages of any length advance together in pieces that fit a cache.
//!
//! It is not a general hashing library: no other digests, no keyed hashing, and nothing here is constant-time, because
//! what is hashed is public.
//!
//! Invariants: all kernels give the same result as the `sha1` crate, which is the reference and the fallback; a stream
//! never depends on which kernel advanced it, nor on where its bytes were cut.

mod kernel;
mod plan;
pub mod pool;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

pub use kernel::Kernel;
pub use plan::Plan;

/// Length of a digest in bytes.
pub const DIGEST_LEN: usize = 20;

/// What the compression function takes at once, in bytes.
pub const BLOCK_LEN: usize = 64;

/// Messages that the widest kernel takes side by side. More at once gain nothing.
pub const LANES_MAX: usize = 16;

/// Chaining value before the first block (FIPS 180-4, section 5.3.1).
const INITIAL: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];

/// Where the last block of a message holds its length in bits, eight bytes long.
const LENGTH_AT: usize = BLOCK_LEN - 8;

/// One message on its way: what was hashed of it so far.
#[derive(Clone, Debug)]
pub struct Stream {
    state: [u32; 5],
    /// Bytes taken, those in `carry` included.
    len: u64,
    /// The last `len % 64` bytes, which do not fill a block yet.
    carry: [u8; BLOCK_LEN],
}

impl Stream {
    /// A message of which nothing was hashed yet.
    pub const fn new() -> Stream {
        Stream {
            state: INITIAL,
            len: 0,
            carry: [0; BLOCK_LEN],
        }
    }

    /// Bytes taken so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was taken yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn carried_len(&self) -> usize {
        (self.len % BLOCK_LEN as u64) as usize
    }

    fn digest(&self) -> [u8; DIGEST_LEN] {
        let mut digest = [0; DIGEST_LEN];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

/// The next bytes of one message.
#[derive(Debug)]
pub struct Feed<'a> {
    /// The message that takes them.
    pub stream: &'a mut Stream,
    /// The bytes, in order; empty segments are fine.
    pub segments: &'a [&'a [u8]],
}

/// Hashes with the kernels of this processor.
#[derive(Clone, Debug)]
pub struct Hasher {
    plan: Plan,
}

impl Hasher {
    /// The fastest combination of this processor's kernels: see [`Plan::of_this_processor`].
    pub fn new() -> Hasher {
        Hasher {
            plan: Plan::of_this_processor().clone(),
        }
    }

    /// Uses exactly what `plan` says, for tests and benchmarks.
    pub fn with_plan(plan: Plan) -> Hasher {
        Hasher { plan }
    }

    /// How many messages at once keep this processor's fastest kernel busy.
    pub fn lanes(&self) -> usize {
        self.plan.lanes()
    }

    /// Feeds every message its next bytes. Messages that end earlier leave their place to others.
    pub fn advance<'a>(&self, feeds: impl IntoIterator<Item = Feed<'a>>) {
        self.run(feeds.into_iter().map(Lane::fed));
    }

    /// Ends the messages and tells their digests, in order. The streams start anew.
    pub fn finish(&self, streams: &mut [Stream]) -> Vec<[u8; DIGEST_LEN]> {
        self.run(streams.iter_mut().map(Lane::ended));
        streams
            .iter_mut()
            .map(|stream| std::mem::take(stream).digest())
            .collect()
    }

    /// The digests of whole messages, in order.
    pub fn digests(&self, messages: &[&[u8]]) -> Vec<[u8; DIGEST_LEN]> {
        let mut streams = vec![Stream::new(); messages.len()];
        self.advance(streams.iter_mut().zip(messages).map(|(stream, message)| Feed {
            stream,
            segments: std::slice::from_ref(message),
        }));
        self.finish(&mut streams)
    }

    /// Compresses until no lane has blocks. Whoever has none left makes room for the next one.
    fn run<'a>(&self, lanes: impl Iterator<Item = Lane<'a>>) {
        let mut coming = lanes.filter(Lane::has_blocks);
        let mut present = Vec::with_capacity(LANES_MAX);
        loop {
            present.extend(coming.by_ref().take(LANES_MAX - present.len()));
            if present.is_empty() {
                return;
            }
            let step = self.plan.step(present.len());
            compress(step.kernel, &mut present[..step.lanes]);
            present.retain(Lane::has_blocks);
        }
    }
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher::new()
    }
}

/// A message in its place beside others. One that has no blocks to give leaves it.
struct Lane<'a> {
    stream: &'a mut Stream,
    segments: std::slice::Iter<'a, &'a [u8]>,
    /// What is left of the current segment.
    rest: &'a [u8],
    next: Next,
}

/// Where the next blocks of a lane are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// One block in the stream's carry.
    Carry,
    /// The same, and after it one more, which holds the length of the message.
    CarryThenLength,
    /// So many whole blocks at the start of `rest`.
    Rest(usize),
    /// Nowhere: the segments are used up.
    None,
}

impl<'a> Lane<'a> {
    /// A message that takes the bytes of `feed`.
    fn fed(feed: Feed<'a>) -> Lane<'a> {
        let mut lane = Lane {
            stream: feed.stream,
            segments: feed.segments.iter(),
            rest: &[],
            next: Next::None,
        };
        lane.look_ahead();
        lane
    }

    /// A message that takes its padding (FIPS 180-4, section 5.1.1): one bit, zeroes, and its length at the end of a
    /// block, which is the next one where the length finds no room behind the bit.
    fn ended(stream: &'a mut Stream) -> Lane<'a> {
        let carried_len = stream.carried_len();
        stream.carry[carried_len] = 0x80;
        stream.carry[carried_len + 1..].fill(0);
        let next = if carried_len < LENGTH_AT {
            stream.carry[LENGTH_AT..].copy_from_slice(&(stream.len * 8).to_be_bytes());
            Next::Carry
        } else {
            Next::CarryThenLength
        };
        Lane {
            stream,
            segments: [].iter(),
            rest: &[],
            next,
        }
    }

    fn has_blocks(&self) -> bool {
        self.next != Next::None
    }

    fn blocks(&self) -> usize {
        match self.next {
            Next::Carry | Next::CarryThenLength => 1,
            Next::Rest(blocks) => blocks,
            Next::None => 0,
        }
    }

    fn bytes(&self, blocks: usize) -> &[u8] {
        match self.next {
            Next::Carry | Next::CarryThenLength => &self.stream.carry,
            Next::Rest(_) | Next::None => &self.rest[..blocks * BLOCK_LEN],
        }
    }

    /// Takes note that the first `blocks` blocks made `state` of the state before.
    fn compressed(&mut self, blocks: usize, state: [u32; 5]) {
        self.stream.state = state;
        match self.next {
            Next::CarryThenLength => {
                self.stream.carry[..LENGTH_AT].fill(0);
                self.stream.carry[LENGTH_AT..].copy_from_slice(&(self.stream.len * 8).to_be_bytes());
                self.next = Next::Carry;
                return;
            }
            Next::Rest(_) => {
                self.rest = &self.rest[blocks * BLOCK_LEN..];
                self.stream.len += (blocks * BLOCK_LEN) as u64;
            }
            Next::Carry | Next::None => {}
        }
        self.look_ahead();
    }

    /// Finds the next block, collecting bytes in the carry where a block lies across segments.
    fn look_ahead(&mut self) {
        self.next = loop {
            if self.rest.is_empty() {
                match self.segments.next() {
                    Some(segment) => self.rest = segment,
                    None => break Next::None,
                }
                continue;
            }
            let carried_len = self.stream.carried_len();
            if carried_len == 0 && self.rest.len() >= BLOCK_LEN {
                break Next::Rest(self.rest.len() / BLOCK_LEN);
            }
            let (head, rest) = self.rest.split_at(self.rest.len().min(BLOCK_LEN - carried_len));
            self.stream.carry[carried_len..carried_len + head.len()].copy_from_slice(head);
            self.stream.len += head.len() as u64;
            self.rest = rest;
            if self.stream.carried_len() == 0 {
                break Next::Carry;
            }
        };
    }
}

/// Advances all of `lanes` by as many blocks as the one with the fewest has in a row.
fn compress(kernel: Kernel, lanes: &mut [Lane<'_>]) {
    let blocks = lanes
        .iter()
        .map(Lane::blocks)
        .min()
        .expect("a step takes at least one lane");
    let mut states = [INITIAL; LANES_MAX];
    let mut bytes: [&[u8]; LANES_MAX] = [&[]; LANES_MAX];
    for (lane, (state, bytes)) in lanes.iter().zip(states.iter_mut().zip(&mut bytes)) {
        *state = lane.stream.state;
        *bytes = lane.bytes(blocks);
    }
    kernel.compress(&mut states[..lanes.len()], &bytes[..lanes.len()]);
    for (lane, state) in lanes.iter_mut().zip(states) {
        lane.compressed(blocks, state);
    }
}

#[cfg(test)]
mod tests;
