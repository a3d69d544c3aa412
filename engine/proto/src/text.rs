//! Strangers' text, for people to read.

/// What can be shown of bytes that should be UTF-8: their first `len_max` bytes without control characters
/// and without what is no UTF-8; `None` when nothing is left.
pub(crate) fn shown(bytes: &[u8], len_max: usize) -> Option<String> {
    let bytes = &bytes[..bytes.len().min(len_max)];
    let characters = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
    let text: String = characters.filter(|character| !character.is_control()).collect();
    (!text.is_empty()).then_some(text)
}

/// The same with everything in its place: line breaks stay, and what is no UTF-8 becomes U+FFFD; at most `len_max` bytes,
/// cut between characters; `None` when nothing is left.
pub(crate) fn decoded(bytes: &[u8], len_max: usize) -> Option<String> {
    // The longest character has four bytes, so one that begins within the limit is seen whole.
    let bytes = &bytes[..bytes.len().min(len_max + 3)];
    let text = String::from_utf8_lossy(bytes);
    let ends = text
        .char_indices()
        .map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= len_max).last()?;
    Some(text[..end].to_owned())
}

#[cfg(test)]
mod tests;
