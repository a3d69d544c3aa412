//! Bencode (BEP 3): checking it, looking into it, writing it.
//!
//! [`decode`] walks the input once, without recursion and with a bound on depth and tokens, and checks all of
//! it. What it returns is a view: a [`Value`] is the raw bytes of one value and where they stand, and finding
//! something in it scans those bytes again. Nothing is copied, and the bytes that a hash signs are at hand as
//! they arrived.
//!
//! What is refused, with the offset of the offending byte: leading zeros, `-0`, integers beyond `i64`,
//! strings longer than the input, keys that are no strings, bytes behind the value. What is accepted though
//! not canonical:
//! - Keys out of order, as old tools wrote them. [`Document::disorder`] says where.
//! - A key twice in one dictionary. The first one counts, here as in libtorrent; it is disorder as well.
//!
//! Decoded values are never written back: a torrent keeps its raw bytes. [`write_dict`] is for documents of
//! our own and writes nothing that is not canonical.

use std::ops::Range;

use thiserror::Error;

use crate::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX};

mod reader;
mod writer;

use reader::{Reader, Token};
pub use writer::{DictWriter, ListWriter, write_dict};

/// An input that is bencode throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    root: Value<'a>,
    disorder: Option<usize>,
}

/// One value inside a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a [u8],
    offset: usize,
}

/// A dictionary inside a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dict<'a>(Value<'a>);

/// A list inside a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a>(Value<'a>);

/// Where an input stops to be bencode, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("byte {offset}: {problem}")]
pub struct DecodeError {
    /// Offset of the offending byte in the input.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with bencode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Problem {
    /// The input ends too early.
    #[error("the input ends inside a value")]
    Truncated,
    /// A byte that begins neither a value nor the end of one.
    #[error("no value begins with `{}`", byte.escape_ascii())]
    Unexpected {
        /// The byte.
        byte: u8,
    },
    /// Something else than digits in an integer or in the length of a string.
    #[error("a number may not contain `{}`", byte.escape_ascii())]
    NotADigit {
        /// The byte.
        byte: u8,
    },
    /// A number with a leading zero, or `-0`.
    #[error("a number may not begin with a zero")]
    LeadingZero,
    /// An integer of more than 64 bits.
    #[error("the integer is too large")]
    IntegerOverflow,
    /// A string that would end behind the input.
    #[error("the string is longer than the {left} bytes that are left")]
    StringTooLong {
        /// Bytes behind the string's length.
        left: usize,
    },
    /// A list, a dictionary or an integer where a key is due.
    #[error("a key must be a string")]
    KeyNotString,
    /// An end where a value is due.
    #[error("a value is missing before this end")]
    ValueMissing,
    /// Deeper than [`BENCODE_DEPTH_MAX`].
    #[error("lists and dictionaries are nested deeper than {BENCODE_DEPTH_MAX}")]
    TooDeep,
    /// More tokens than [`BENCODE_TOKENS_MAX`].
    #[error("there are more than {BENCODE_TOKENS_MAX} values")]
    TooManyTokens,
    /// Bytes behind the value.
    #[error("{len} bytes follow the end of the value")]
    Trailing {
        /// How many.
        len: usize,
    },
}

/// Checks an input that has to be exactly one value.
pub fn decode(input: &[u8]) -> Result<Document<'_>, DecodeError> {
    let (document, rest) = decode_prefix(input)?;
    if !rest.is_empty() {
        let offset = input.len() - rest.len();
        return Err(DecodeError {
            offset,
            problem: Problem::Trailing { len: rest.len() },
        });
    }
    Ok(document)
}

/// Checks the value at the front of an input, and returns what follows it: BEP 9 puts raw bytes there.
pub fn decode_prefix(input: &[u8]) -> Result<(Document<'_>, &[u8]), DecodeError> {
    let mut reader = Reader::new(input);
    let disorder = check(&mut reader)?;
    let (raw, rest) = input.split_at(reader.offset());
    Ok((
        Document {
            root: Value { raw, offset: 0 },
            disorder,
        },
        rest,
    ))
}

/// What the next token stands in.
#[derive(Clone, Copy)]
enum Inside<'a> {
    /// The document: its one value.
    Document,
    /// A list: a value or the end.
    List,
    /// A dictionary, at its start or behind the value of this key: a key or the end.
    Dict(Option<&'a [u8]>),
    /// A dictionary behind this key: its value.
    Entry(&'a [u8]),
}

/// Reads one value to its end; returns where keys are first out of order.
fn check(reader: &mut Reader<'_>) -> Result<Option<usize>, DecodeError> {
    let mut disorder = None;
    let mut inside = Inside::Document;
    let mut around = Vec::new();
    for _ in 0..BENCODE_TOKENS_MAX {
        let offset = reader.offset();
        let refuse = |problem| Err(DecodeError { offset, problem });
        match (reader.token()?, inside) {
            (Token::Bytes(key), Inside::Dict(before)) => {
                if before.is_some_and(|before| before >= key) {
                    disorder = disorder.or(Some(offset));
                }
                inside = Inside::Entry(key);
                continue;
            }
            (Token::End, Inside::List | Inside::Dict(_)) => {
                inside = around.pop().expect("whatever ends stands in something");
            }
            (Token::End, Inside::Entry(_)) => return refuse(Problem::ValueMissing),
            (Token::End, Inside::Document) => return refuse(Problem::Unexpected { byte: b'e' }),
            (_, Inside::Dict(_)) => return refuse(Problem::KeyNotString),
            (token @ (Token::List | Token::Dict), _) => {
                if around.len() == BENCODE_DEPTH_MAX {
                    return refuse(Problem::TooDeep);
                }
                around.push(inside);
                inside = if token == Token::List {
                    Inside::List
                } else {
                    Inside::Dict(None)
                };
                continue;
            }
            (Token::Integer(_) | Token::Bytes(_), _) => {}
        }
        // A value has ended; `inside` is what it stands in.
        match inside {
            Inside::Document => return Ok(disorder),
            Inside::List => {}
            Inside::Entry(key) => inside = Inside::Dict(Some(key)),
            Inside::Dict(_) => unreachable!("a value in a dictionary stands behind a key"),
        }
    }
    Err(DecodeError {
        offset: reader.offset(),
        problem: Problem::TooManyTokens,
    })
}

impl<'a> Document<'a> {
    /// The value that the document is.
    pub fn root(self) -> Value<'a> {
        self.root
    }

    /// Offset of the first key that does not follow the one before it; `None` when the document is canonical.
    pub fn disorder(self) -> Option<usize> {
        self.disorder
    }
}

impl<'a> Value<'a> {
    /// The value's own bytes, as they arrived.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Where in the input the value stands.
    pub fn span(self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }

    /// The value, if it is an integer.
    pub fn integer(self) -> Option<i64> {
        match self.first_token() {
            Token::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// The value, if it is a string; strings are bytes of any kind.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self.first_token() {
            Token::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value, if it is a list.
    pub fn list(self) -> Option<List<'a>> {
        matches!(self.first_token(), Token::List).then_some(List(self))
    }

    /// The value, if it is a dictionary.
    pub fn dict(self) -> Option<Dict<'a>> {
        matches!(self.first_token(), Token::Dict).then_some(Dict(self))
    }

    fn first_token(self) -> Token<'a> {
        Reader::new(self.raw).checked_token()
    }

    /// The values inside a list or dictionary, keys included.
    fn inner(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader::new(self.raw);
        reader.checked_token();
        std::iter::from_fn(move || {
            let start = reader.offset();
            reader.skip_checked_value()?;
            Some(Value {
                raw: &self.raw[start..reader.offset()],
                offset: self.offset + start,
            })
        })
    }
}

impl<'a> Dict<'a> {
    /// The value of a key: the first, should there be several.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        self.entries()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// Keys and their values, as they stand.
    pub fn entries(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut inner = self.0.inner();
        std::iter::from_fn(move || {
            let key = inner.next()?.bytes().expect("a checked key is a string");
            Some((key, inner.next().expect("a checked key has a value")))
        })
    }
}

impl<'a> List<'a> {
    /// The elements, in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        self.0.inner()
    }
}

#[cfg(test)]
mod tests;
