//! Strangers' text, for people to read.

/// What can be shown of bytes that should be UTF-8: their first `len_max` bytes without control characters
/// and without what is no UTF-8; `None` when nothing is left.
pub(crate) fn shown(bytes: &[u8], len_max: usize) -> Option<String> {
    let bytes = &bytes[..bytes.len().min(len_max)];
    let characters = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
    let text: String = characters.filter(|character| !character.is_control()).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
