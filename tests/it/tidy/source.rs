//! Rust source without what is only said: comments and literals become spaces, lines stay where they are.
//!
//! Not a Rust lexer: it knows where comments, strings and characters begin and end, and nothing else.

/// The code of `source`, with every comment and the inside of every literal blanked.
pub(super) fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let len = said_len(rest, after_word);
        if len == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(
                rest[..len]
                    .chars()
                    .map(|letter| if letter == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[len..];
        }
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal; zero where code starts.
fn said_len(rest: &str, after_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return quoted_len(rest, '"');
    }
    if rest.starts_with('\'') {
        return character_len(rest);
    }
    // `r"`, `br#"`: raw strings. An identifier that ends with r has a letter before it.
    let raw = rest
        .strip_prefix("br")
        .or_else(|| rest.strip_prefix('r'))
        .filter(|_| !after_word);
    raw.map_or(0, |raw| {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if !raw[hashes..].starts_with('"') {
            return 0;
        }
        let start = rest.len() - raw.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        rest[start..]
            .find(&end)
            .map_or(rest.len(), |found| start + found + end.len())
    })
}

/// The length of a quoted literal with backslash escapes, both quotes included.
fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = true; // The opening quote does not close.
    for (index, letter) in rest.char_indices() {
        if !escaped && letter == quote {
            return index + 1;
        }
        escaped = !escaped && letter == '\\' && index > 0;
    }
    rest.len()
}

/// The length of a character literal, or zero for a lifetime.
fn character_len(rest: &str) -> usize {
    let mut letters = rest.chars().skip(1);
    match (letters.next(), letters.next()) {
        (Some('\\'), _) => quoted_len(rest, '\''),
        (Some(letter), Some('\'')) => letter.len_utf8() + 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
