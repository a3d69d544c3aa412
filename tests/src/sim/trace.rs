//! What happened, as a hash and as text.
//!
//! Every operation and completion of every core goes through here. The hash is that of all lines: two runs of a seed
//! that differ anywhere differ in it. The last lines are kept, and printed when a run fails.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use shoal_world::{Completion, Op, Time};

/// Lines that are kept for who asks what came before a failure.
const KEPT: usize = 60;

/// The lines of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    kept: VecDeque<String>,
    line: String,
    /// Print every line at once.
    pub prints: bool,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: 0,
            kept: VecDeque::with_capacity(KEPT),
            line: String::new(),
            prints: false,
        }
    }
}

impl Trace {
    /// Notes that something happened.
    pub fn note(&mut self, now: Time, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        self.line.clear();
        let millis = now.as_ns() as f64 / 1e6;
        write!(self.line, "{millis:>12.3} ms  {who}  {what}").expect("a string takes everything");
        for byte in self.line.as_bytes() {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.prints {
            println!("{}", self.line);
        }
        let mut place = if self.kept.len() == KEPT {
            self.kept.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        place.clear();
        place.push_str(&self.line);
        self.kept.push_back(place);
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }
}

/// An operation as it stands in the trace: what it names, without its bytes.
pub struct Asked<'a>(pub &'a Op);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Op::Send { socket, gather } => {
                write!(f, "send {socket:?} {} bytes {:?}", gather.len(), gather.parts)
            }
            Op::Fill { frame, gather } => write!(f, "fill {frame:?} {} bytes", gather.len()),
            Op::HandOver { socket, core, .. } => write!(f, "hand over {socket:?} to {core:?}"),
            Op::SendDatagram { to, bytes } => write!(f, "send datagram {to} {} bytes", bytes.len()),
            op => write!(f, "{op:?}"),
        }
    }
}

/// A completion as it stands in the trace.
pub struct Told<'a>(pub &'a Completion);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Completion::Arrived { socket, address, .. } => write!(f, "-> arrived {socket:?} {address}"),
            Completion::ReceivedExact { socket, bytes } => {
                write!(f, "-> received exact {socket:?} {} bytes", bytes.len())
            }
            completion => write!(f, "-> {completion:?}"),
        }
    }
}
