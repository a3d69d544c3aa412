//! The tokens of bencode, and walking over input that has been checked.

use super::{DecodeError, Problem};

/// The smallest parts that bencode has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    List,
    Dict,
    End,
}

/// Reads tokens off the front of an input.
pub(super) struct Reader<'a> {
    input: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, offset: 0 }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let token = match self.peek()? {
            b'i' => return self.integer(),
            b'0'..=b'9' => return self.bytes(),
            b'l' => Token::List,
            b'd' => Token::Dict,
            b'e' => Token::End,
            byte => return Err(self.refuse(Problem::Unexpected { byte })),
        };
        self.offset += 1;
        Ok(token)
    }

    /// The next token of input that has been checked before.
    pub(super) fn checked_token(&mut self) -> Token<'a> {
        self.token().expect("what was checked once has tokens")
    }

    /// Goes behind the next value of input that has been checked before; `None` at the end of what surrounds
    /// it.
    pub(super) fn skip_checked_value(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.checked_token() {
                Token::List | Token::Dict => depth += 1,
                Token::End if depth == 0 => return None,
                Token::End => depth -= 1,
                Token::Integer(_) | Token::Bytes(_) => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn integer(&mut self) -> Result<Token<'a>, DecodeError> {
        self.offset += 1;
        let negative = self.peek()? == b'-';
        self.offset += usize::from(negative);
        let start = self.offset;
        // Digits are collected with their sign, as the lowest integer has no positive counterpart.
        let sign = if negative { -1 } else { 1 };
        let add = |integer: i64, digit: u8| integer.checked_mul(10)?.checked_add(sign * i64::from(digit));
        let integer = self.number(b'e', add)?;
        let integer = integer.ok_or(DecodeError {
            offset: start,
            problem: Problem::IntegerOverflow,
        })?;
        if negative && integer == 0 {
            return Err(DecodeError {
                offset: start,
                problem: Problem::LeadingZero,
            });
        }
        Ok(Token::Integer(integer))
    }

    fn bytes(&mut self) -> Result<Token<'a>, DecodeError> {
        let start = self.offset;
        let add = |len: usize, digit: u8| len.checked_mul(10)?.checked_add(digit.into());
        let len = self.number(b':', add)?;
        let left = &self.input[self.offset..];
        let Some(bytes) = len.and_then(|len| left.get(..len)) else {
            let problem = Problem::StringTooLong { left: left.len() };
            return Err(DecodeError {
                offset: start,
                problem,
            });
        };
        self.offset += bytes.len();
        Ok(Token::Bytes(bytes))
    }

    /// Digits up to and with the byte that ends them. `None` when they are more than `add` can hold; digits
    /// beyond that are only looked at, so that a wrong byte among them is still what gets reported.
    fn number<N: Default>(
        &mut self,
        end: u8,
        add: impl Fn(N, u8) -> Option<N>,
    ) -> Result<Option<N>, DecodeError> {
        let start = self.offset;
        let mut number = Some(N::default());
        loop {
            match self.peek()? {
                byte if byte == end && self.offset > start => break,
                b'0'..=b'9' if self.offset == start + 1 && self.input[start] == b'0' => {
                    return Err(DecodeError {
                        offset: start,
                        problem: Problem::LeadingZero,
                    });
                }
                digit @ b'0'..=b'9' => number = number.and_then(|number| add(number, digit - b'0')),
                byte => return Err(self.refuse(Problem::NotADigit { byte })),
            }
            self.offset += 1;
        }
        self.offset += 1;
        Ok(number)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        self.input
            .get(self.offset)
            .copied()
            .ok_or_else(|| self.refuse(Problem::Truncated))
    }

    fn refuse(&self, problem: Problem) -> DecodeError {
        DecodeError {
            offset: self.offset,
            problem,
        }
    }
}
