//! Which files and pieces of a torrent are wanted.
//!
//! `--files` names files as `shoal show` prints them, or by patterns. Here patterns become a priority for each file
//! and the pieces that follow from them; what a shard does with a priority is its own.
//!
//! Invariant: without a pattern every file is wanted; with some, each of them matches a file that holds data or may be
//! made, so that padding and links never count.

use crate::failure::Failure;
use globset::{Glob, GlobMatcher};
use shoal::printable::Printable;
use shoal::torrent::Priority;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::{File, FileKind, Metainfo};

/// Names shown beside a pattern that matches nothing: enough to see how paths look, few enough for a sentence.
const NAMES_SHOWN: usize = 3;

/// What is wanted of a torrent.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// One for each file; empty: all alike.
    pub(super) priorities: Vec<Priority>,
    /// The pieces that hold bytes of wanted files.
    pub(super) pieces: Bitfield,
    /// Bytes of these pieces.
    pub(super) bytes: u64,
}

impl Selection {
    /// What these patterns select.
    pub(super) fn of(metainfo: &Metainfo, globs: &[String]) -> Result<Selection, Failure> {
        let priorities = priorities(metainfo, globs)?;
        let pieces = pieces(metainfo, &priorities);
        Ok(Selection {
            bytes: bytes_of(metainfo, &pieces),
            priorities,
            pieces,
        })
    }

    /// Bytes of the wanted pieces that are among these.
    pub(super) fn bytes_done(&self, metainfo: &Metainfo, have: &Bitfield) -> u64 {
        let layout = metainfo.layout();
        let done = self.pieces.present().filter(|piece| have.has(*piece));
        done.map(|piece| u64::from(layout.piece_len(piece))).sum()
    }

    /// Whether nothing that is wanted is missing.
    pub(super) fn is_within(&self, have: &Bitfield) -> bool {
        self.pieces.present().all(|piece| have.has(piece))
    }

    /// How many files are wanted.
    pub(super) fn files(&self, metainfo: &Metainfo) -> usize {
        let regular = metainfo
            .files()
            .iter()
            .enumerate()
            .filter(|(_, file)| is_regular(file));
        regular.filter(|(index, _)| self.wants(*index)).count()
    }

    /// Whether the file of this number is wanted.
    pub(super) fn wants(&self, file: usize) -> bool {
        self.priorities.is_empty() || self.priorities[file] != Priority::Skip
    }
}

fn priorities(metainfo: &Metainfo, globs: &[String]) -> Result<Vec<Priority>, Failure> {
    if globs.is_empty() {
        return Ok(Vec::new());
    }
    let mut priorities = vec![Priority::Skip; metainfo.files().len()];
    for text in globs {
        let pattern = Pattern::parse(text)?;
        let mut matches = false;
        for (file, priority) in metainfo.files().iter().zip(&mut priorities) {
            if is_regular(file) && pattern.matches(file.path.as_str()) {
                *priority = Priority::Normal;
                matches = true;
            }
        }
        if !matches {
            return Err(Failure::bad_input(nothing_matches(metainfo, text)));
        }
    }
    Ok(priorities)
}

/// What `--files` takes.
struct Pattern<'a> {
    text: &'a str,
    glob: GlobMatcher,
}

impl Pattern<'_> {
    fn parse(text: &str) -> Result<Pattern<'_>, Failure> {
        let glob = Glob::new(text).map_err(|error| {
            let (text, reason) = (Printable(text), error.kind().to_string());
            Failure::bad_input(format!("--files: `{text}`: {}", Printable(&reason)))
        })?;
        Ok(Pattern {
            text,
            glob: glob.compile_matcher(),
        })
    }

    /// A path that is copied from `shoal show` means itself, whatever characters are in it.
    fn matches(&self, path: &str) -> bool {
        self.text == path || self.glob.is_match(path)
    }
}

fn nothing_matches(metainfo: &Metainfo, text: &str) -> String {
    let files: Vec<&File> = metainfo.files().iter().filter(|file| is_regular(file)).collect();
    let shown = files.iter().take(NAMES_SHOWN);
    let names: Vec<String> = shown
        .map(|file| Printable(file.path.as_str()).to_string())
        .collect();
    let more = match files.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "--files: `{}`: no file of the torrent matches; it has {}{more}, as `shoal show` lists them",
        Printable(text),
        names.join(", ")
    )
}

fn is_regular(file: &File) -> bool {
    matches!(file.kind, FileKind::Regular(_))
}

fn pieces(metainfo: &Metainfo, priorities: &[Priority]) -> Bitfield {
    let layout = metainfo.layout();
    if priorities.is_empty() {
        return Bitfield::all(layout.pieces());
    }
    let mut pieces = Bitfield::none(layout.pieces());
    let piece_length = u64::from(layout.piece_length());
    for ((_, extent), priority) in layout.files().zip(priorities) {
        if *priority == Priority::Skip || extent.len == 0 {
            continue;
        }
        let (first, last) = (
            extent.start / piece_length,
            (extent.start + extent.len - 1) / piece_length,
        );
        for piece in layout
            .piece_indices()
            .take(last as usize + 1)
            .skip(first as usize)
        {
            pieces.set(piece);
        }
    }
    pieces
}

fn bytes_of(metainfo: &Metainfo, pieces: &Bitfield) -> u64 {
    let layout = metainfo.layout();
    pieces
        .present()
        .map(|piece| u64::from(layout.piece_len(piece)))
        .sum()
}

#[cfg(test)]
mod tests;
