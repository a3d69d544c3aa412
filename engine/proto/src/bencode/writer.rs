//! Writing canonical bencode. The writers keep the bytes balanced; keys out of order are a mistake of the
//! program and panic.

use std::ops::Range;

/// Appends a dictionary, filled by the closure.
///
/// ```
/// # use shoal_proto::bencode::write_dict;
/// let mut out = Vec::new();
/// write_dict(&mut out, |dict| {
///     dict.integer(b"length", 7);
///     dict.list(b"path", |path| path.bytes(b"a"));
/// });
/// assert_eq!(out, b"d6:lengthi7e4:pathl1:aee");
/// ```
pub fn write_dict(out: &mut Vec<u8>, fill: impl FnOnce(&mut DictWriter<'_>)) {
    out.push(b'd');
    fill(&mut DictWriter { out, last_key: None });
    out.push(b'e');
}

/// The entries of a dictionary that is being written.
#[derive(Debug)]
pub struct DictWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where in `out` the key of the last entry stands.
    last_key: Option<Range<usize>>,
}

/// The elements of a list that is being written.
#[derive(Debug)]
pub struct ListWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl DictWriter<'_> {
    /// Adds an integer.
    pub fn integer(&mut self, key: &[u8], integer: i64) {
        self.key(key);
        write_integer(self.out, integer);
    }

    /// Adds a string.
    pub fn bytes(&mut self, key: &[u8], bytes: &[u8]) {
        self.key(key);
        write_bytes(self.out, bytes);
    }

    /// Adds a list, filled by the closure.
    pub fn list(&mut self, key: &[u8], fill: impl FnOnce(&mut ListWriter<'_>)) {
        self.key(key);
        write_list(self.out, fill);
    }

    /// Adds a dictionary, filled by the closure.
    pub fn dict(&mut self, key: &[u8], fill: impl FnOnce(&mut DictWriter<'_>)) {
        self.key(key);
        write_dict(self.out, fill);
    }

    fn key(&mut self, key: &[u8]) {
        let ascending = self.last_key.clone().is_none_or(|last| self.out[last] < *key);
        assert!(
            ascending,
            "keys of a dictionary must be written in ascending order"
        );
        write_bytes(self.out, key);
        self.last_key = Some(self.out.len() - key.len()..self.out.len());
    }
}

impl ListWriter<'_> {
    /// Adds an integer.
    pub fn integer(&mut self, integer: i64) {
        write_integer(self.out, integer);
    }

    /// Adds a string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        write_bytes(self.out, bytes);
    }

    /// Adds a list, filled by the closure.
    pub fn list(&mut self, fill: impl FnOnce(&mut ListWriter<'_>)) {
        write_list(self.out, fill);
    }

    /// Adds a dictionary, filled by the closure.
    pub fn dict(&mut self, fill: impl FnOnce(&mut DictWriter<'_>)) {
        write_dict(self.out, fill);
    }
}

fn write_list(out: &mut Vec<u8>, fill: impl FnOnce(&mut ListWriter<'_>)) {
    out.push(b'l');
    fill(&mut ListWriter { out });
    out.push(b'e');
}

fn write_integer(out: &mut Vec<u8>, integer: i64) {
    out.push(b'i');
    out.extend(integer.to_string().bytes());
    out.push(b'e');
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.len().to_string().bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}
