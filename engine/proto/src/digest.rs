//! The hash that a piece must have.
//!
//! A value to compare, not a hash function: pieces are hashed by the world's hashing threads, many at a time.
//! Version 1 pieces have SHA-1 digests; the type has room for the SHA-256 of version 2 (BEP 52), so that
//! neither hashing jobs nor storage plans change when it arrives.

use std::fmt;

/// A digest of a piece; equal only to a digest of the same function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// The SHA-1 of a version 1 piece (BEP 3).
    Sha1([u8; 20]),
    /// A SHA-256 tree node of version 2 (BEP 52).
    Sha256([u8; 32]),
}

impl Digest {
    /// The bytes of the digest: 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Digest::Sha1(bytes) => bytes,
            Digest::Sha256(bytes) => bytes,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, self.as_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Writes bytes as lower-case hexadecimal digits, the form that every torrent tool prints.
pub(crate) fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

#[cfg(test)]
mod tests;
