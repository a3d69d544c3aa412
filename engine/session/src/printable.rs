//! Text of strangers and of the kernel, made fit to stand in a line of a terminal or a log.
//!
//! Names in torrents and values in files may hold escape sequences that move the cursor, line breaks that forge a line
//! of a log, or marks that reverse the direction of what follows. They are shown as `�`, never passed on.

use shoal_world::{Errno, Refusal};
use std::fmt::{self, Write};
use std::io;
use std::path::Path;

/// Displays a text with everything replaced that would not stay in its place.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| out.write_char(if disturbs(c) { '\u{fffd}' } else { c }))
    }
}

/// Displays a path likewise; what of it is not UTF-8 shows as `�` as well.
#[derive(Clone, Copy, Debug)]
pub struct PrintablePath<'a>(pub &'a Path);

impl fmt::Display for PrintablePath<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0.to_string_lossy()).fmt(out)
    }
}

/// Displays why a file was not opened or read, in the words of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct RefusalText(pub Refusal);

impl fmt::Display for RefusalText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Refusal::Errno(Errno(number)) => io::Error::from_raw_os_error(number).fmt(out),
            Refusal::NotRegular => out.write_str("it is not a regular file"),
        }
    }
}

/// Control characters, and the marks of Unicode that change the direction of the text around them (UAX 9).
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
