//! Text of strangers, made fit to stand in a line of a terminal or a log.
//!
//! Names in torrents and values in files may hold escape sequences that move the cursor, line breaks that forge a line
//! of a log, or marks that reverse the direction of what follows. They are shown as `�`, never passed on.

use std::fmt::{self, Write};

/// Displays a text with everything replaced that would not stay in its place.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| out.write_char(if disturbs(c) { '\u{fffd}' } else { c }))
    }
}

/// Control characters, and the marks of Unicode that change the direction of the text around them (UAX 9).
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
