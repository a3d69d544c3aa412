//! A bencode writer that writes what it is told, also what BEP 3 forbids.
//!
//! Dictionaries keep the order and the duplicates they are given: hostile metainfo needs both.

/// A bencoded value, or bytes that pretend to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A byte string.
    Bytes(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A list.
    List(Vec<Value>),
    /// A dictionary, written in the order given.
    Dictionary(Vec<(Vec<u8>, Value)>),
    /// Bytes written as they stand.
    Raw(Vec<u8>),
}

impl Value {
    /// A byte string from text or bytes.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Value {
        Value::Bytes(bytes.as_ref().to_vec())
    }

    /// Bytes that are written as they stand.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Value {
        Value::Raw(bytes.as_ref().to_vec())
    }

    /// A list of byte strings.
    pub fn texts<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Value {
        Value::List(texts.into_iter().map(Value::bytes).collect())
    }

    /// A dictionary whose keys are written in the order given.
    pub fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Dictionary(
            entries
                .into_iter()
                .map(|(key, value)| (key.as_bytes().to_vec(), value))
                .collect(),
        )
    }

    /// This dictionary with `key` replaced, or added at its place in the sorted order.
    ///
    /// # Panics
    /// If this is not a dictionary.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Value {
        let entries = self.entries();
        match entries.binary_search_by(|(present, _)| present.as_slice().cmp(key.as_bytes())) {
            Ok(index) => entries[index].1 = value,
            Err(index) => entries.insert(index, (key.as_bytes().to_vec(), value)),
        }
        self
    }

    /// This dictionary without `key`.
    ///
    /// # Panics
    /// If this is not a dictionary.
    #[must_use]
    pub fn without(mut self, key: &str) -> Value {
        self.entries().retain(|(present, _)| present != key.as_bytes());
        self
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The integer that stands under a key.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let Value::Dictionary(entries) = self else {
            return None;
        };
        match entries.iter().find(|(present, _)| present == key.as_bytes()) {
            Some((_, Value::Integer(integer))) => Some(*integer),
            _ => None,
        }
    }

    /// Reads one value that these bytes begin with. `None`: they do not, or it nests deeper than any test needs.
    pub fn decode(bytes: &[u8]) -> Option<Value> {
        let mut rest = bytes;
        read(&mut rest, 16)
    }

    fn entries(&mut self) -> &mut Vec<(Vec<u8>, Value)> {
        match self {
            Value::Dictionary(entries) => entries,
            other => panic!("only a dictionary has keys, not {other:?}"),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bytes(bytes) => write_bytes(bytes, out),
            Value::Integer(integer) => out.extend_from_slice(format!("i{integer}e").as_bytes()),
            Value::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Value::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
            Value::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

fn read(rest: &mut &[u8], depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let (first, after) = rest.split_first()?;
    match first {
        b'i' => {
            *rest = after;
            Some(Value::Integer(number(rest, b'e')?))
        }
        b'l' => {
            *rest = after;
            let mut items = Vec::new();
            while !ends(rest)? {
                items.push(read(rest, depth)?);
            }
            Some(Value::List(items))
        }
        b'd' => {
            *rest = after;
            let mut entries = Vec::new();
            while !ends(rest)? {
                entries.push((read_bytes(rest)?, read(rest, depth)?));
            }
            Some(Value::Dictionary(entries))
        }
        _ => Some(Value::Bytes(read_bytes(rest)?)),
    }
}

fn read_bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(number(rest, b':')?).ok()?;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes.to_vec())
}

fn number(rest: &mut &[u8], end: u8) -> Option<i64> {
    let len = rest.iter().position(|byte| *byte == end)?;
    let number = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    *rest = &rest[len + 1..];
    Some(number)
}

/// Whether a list or dictionary ends here; its end is taken.
fn ends(rest: &mut &[u8]) -> Option<bool> {
    let (first, after) = rest.split_first()?;
    let ends = *first == b'e';
    if ends {
        *rest = after;
    }
    Some(ends)
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
