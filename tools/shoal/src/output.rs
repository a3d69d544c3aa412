//! What commands write: results to stdout, diagnostics to stderr.
//!
//! A reader that goes away (`shoal show x | head -1`) is no failure: the command ends as if everything had been read.

use crate::failure::Failure;
use serde_json::Value;
use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Writes one result line and flushes it, so that a waiting script sees it at once.
pub(crate) fn line(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes one result as a line of JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(value)
}

/// Writes bytes that are the whole result.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Writes lines of names and values, the values below each other.
pub(crate) fn table(rows: &[(&str, String)]) -> Result<(), Failure> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        text.push_str(&format!("{name:width$}  {value}\n"));
    }
    bytes(text.as_bytes())
}

/// Writes one diagnostic. When stderr is gone there is nobody left to tell.
pub(crate) fn diagnostic(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        let _ = writeln!(io::stderr(), "shoal: {line}");
    }
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::refused(format!("stdout: cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
