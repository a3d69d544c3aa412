//! Paths that a torrent may ask for.
//!
//! One principle: a path is used as it is, or the torrent is refused. A client that renames loses the data
//! that is already on disk, and what it renames to collides with something else. So, for each element of a
//! path:
//!
//! | element | rule |
//! |---|---|
//! | empty, or `.` | left out: to the kernel they name the folder they stand in. Absolute paths become relative so |
//! | `..` | refused: it leaves the folder |
//! | with `/` or NUL | refused: no file can have such a name |
//! | with `\` | refused: a separator for the computers that share the data |
//! | with control characters (C0, DEL, C1) | refused: they rewrite terminals, logs and line-based lists |
//! | with bidirectional embeddings, overrides, isolates | refused: they make `exe.gpj` read as `jpg.exe` |
//! | not UTF-8 | the `utf-8` variant counts where there is one; else each wrong sequence, as long as its first byte says, becomes `_`, as in libtorrent |
//! | more than 255 bytes | refused: `NAME_MAX` |
//!
//! Nothing left, more than 100 elements, or more than [`PATH_LEN_MAX`] bytes in all: refused. Two files of
//! one path, and a file below a file: refused. Paths that differ in case, or in how a letter is composed, are
//! different files to Linux: they load, the former with a caution.

use std::fmt;
use std::path::Path;

use thiserror::Error;

use crate::limits::{PATH_DEPTH_MAX, PATH_ELEMENT_LEN_MAX, PATH_LEN_MAX};

/// A relative path that stays below where it starts; at least one element, each a name that Linux accepts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorrentPath(Box<str>);

/// Why a path is refused; reads on from the name of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathProblem {
    /// No element is left.
    #[error("names nothing")]
    Empty,
    /// An element is `..`.
    #[error("holds `..`, which would leave the torrent's folder")]
    Parent,
    /// A character that separates elements, or ends strings.
    #[error("holds {character:?} inside a name")]
    Separator {
        /// The character.
        character: char,
    },
    /// A control character.
    #[error("holds the control character U+{:04X}", u32::from(*character))]
    Control {
        /// The character.
        character: char,
    },
    /// A character that reorders the text around it.
    #[error("holds U+{:04X}, which makes a name read as another", u32::from(*character))]
    Direction {
        /// The character.
        character: char,
    },
    /// An element over [`PATH_ELEMENT_LEN_MAX`].
    #[error("holds a name of {len} bytes, and {PATH_ELEMENT_LEN_MAX} is the most")]
    ElementTooLong {
        /// Bytes in the element.
        len: usize,
    },
    /// More elements than [`PATH_DEPTH_MAX`].
    #[error("is deeper than {PATH_DEPTH_MAX} folders")]
    TooDeep,
    /// More bytes than [`PATH_LEN_MAX`].
    #[error("is longer than {PATH_LEN_MAX} bytes")]
    TooLong,
}

impl TorrentPath {
    /// The path of a torrent's only file or of its folder.
    pub(super) fn new(name: &str) -> Result<TorrentPath, PathProblem> {
        extend(String::new(), [name])
    }

    /// The path of something below this folder, by the elements that a torrent gives.
    pub(super) fn join<'e>(
        &self,
        elements: impl IntoIterator<Item = &'e str>,
    ) -> Result<TorrentPath, PathProblem> {
        extend(self.0.to_string(), elements)
    }

    /// The path with `/` between elements.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for joining to a directory.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_str())
    }

    /// The elements: folders, then the file.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether `other` is this path or inside the folder that this path is.
    pub(super) fn contains(&self, other: &TorrentPath) -> bool {
        let rest = other.0.strip_prefix(&*self.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Adds elements to a path by the rules of this module; there must be at least one to add.
fn extend<'e>(
    mut path: String,
    elements: impl IntoIterator<Item = &'e str>,
) -> Result<TorrentPath, PathProblem> {
    let len_before = path.len();
    let mut depth = if path.is_empty() {
        0
    } else {
        path.split('/').count()
    };
    for element in elements
        .into_iter()
        .filter(|element| !matches!(*element, "" | "."))
    {
        check_element(element)?;
        depth += 1;
        if depth > PATH_DEPTH_MAX {
            return Err(PathProblem::TooDeep);
        }
        if depth > 1 {
            path.push('/');
        }
        path.push_str(element);
        if path.len() > PATH_LEN_MAX {
            return Err(PathProblem::TooLong);
        }
    }
    if path.len() == len_before {
        Err(PathProblem::Empty)
    } else {
        Ok(TorrentPath(path.into()))
    }
}

fn check_element(element: &str) -> Result<(), PathProblem> {
    if element == ".." {
        return Err(PathProblem::Parent);
    }
    if element.len() > PATH_ELEMENT_LEN_MAX {
        return Err(PathProblem::ElementTooLong { len: element.len() });
    }
    element.chars().try_for_each(|character| match character {
        '/' | '\\' | '\0' => Err(PathProblem::Separator { character }),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Err(PathProblem::Direction { character }),
        _ if character.is_control() => Err(PathProblem::Control { character }),
        _ => Ok(()),
    })
}

impl fmt::Display for TorrentPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TorrentPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}
