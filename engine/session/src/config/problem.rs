//! What can be wrong with a configuration file, and where.
//!
//! `Display` of a [`Problem`] is one line without the file's name; that of a [`ConfigError`] is one line for each
//! problem, in the form that editors and terminals make clickable: `file:line:column: what; way out`.

use super::document::Entry;
use super::{Expected, SettingError, limits};
use crate::printable::{Printable, PrintablePath};
use crate::units;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A place in a text, both counted from 1; a column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The text is not YAML; reading ended here.
    Syntax(String),
    /// The document is a list or a single value.
    NotSettings,
    /// A second document begins.
    SecondDocument,
    /// A key is itself a list or a mapping.
    KeyNotText,
    /// The key is not the name of a setting.
    Unknown {
        /// The key.
        name: String,
        /// The setting that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The key was there before.
    Duplicate {
        /// The key.
        name: String,
        /// The line of the first one.
        first_line: usize,
    },
    /// The value is a list or a mapping.
    NotOneValue {
        /// The key.
        name: String,
    },
    /// The value uses an anchor, an alias or a tag.
    Indirect {
        /// The key.
        name: String,
    },
    /// There is no value.
    Empty {
        /// The key.
        name: String,
    },
    /// The value is of the wrong type or out of range.
    Value {
        /// The key.
        name: String,
        /// The value.
        text: String,
        /// What it may be.
        expected: Expected,
    },
}

/// Why a configuration file cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is larger than any configuration.
    TooLarge {
        /// Which file.
        file: PathBuf,
    },
    /// The file is not text.
    NotUtf8 {
        /// Which file.
        file: PathBuf,
        /// The line with the first wrong byte.
        line: usize,
    },
    /// The file was read and has mistakes; at least one.
    Invalid {
        /// Which file.
        file: PathBuf,
        /// All of them, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Problem {
    pub(super) fn of_setting(entry: Entry, error: SettingError) -> Problem {
        match error {
            SettingError::Unknown { nearest } => Problem {
                place: entry.name_place,
                kind: ProblemKind::Unknown {
                    name: entry.name,
                    nearest,
                },
            },
            SettingError::Value(expected) => Problem {
                place: entry.text_place,
                kind: ProblemKind::Value {
                    name: entry.name,
                    text: entry.text,
                    expected,
                },
            },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.kind)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemKind::Syntax(what) => {
                write!(out, "not YAML: {what}; nothing after this place was read")
            }
            ProblemKind::NotSettings => write!(out, "not settings; write one `name: value` to a line"),
            ProblemKind::SecondDocument => write!(out, "a second document; keep all settings in one"),
            ProblemKind::KeyNotText => write!(out, "not the name of a setting; write `name: value`"),
            ProblemKind::Unknown { name, nearest } => {
                write!(out, "there is no setting `{}`", printable(name))?;
                match nearest {
                    Some(nearest) => write!(out, "; did you mean `{nearest}`?"),
                    None => write!(out, "; `shoal config show` lists all"),
                }
            }
            ProblemKind::Duplicate { name, first_line } => {
                write!(
                    out,
                    "`{}` was already set in line {first_line}; keep one",
                    printable(name)
                )
            }
            ProblemKind::NotOneValue { name } => {
                write!(
                    out,
                    "`{}` takes one value, not a list or a mapping; an address in brackets needs quotes",
                    printable(name)
                )
            }
            ProblemKind::Indirect { name } => {
                write!(
                    out,
                    "`{}` uses an anchor, alias or tag; write the value itself",
                    printable(name)
                )
            }
            ProblemKind::Empty { name } => {
                write!(
                    out,
                    "`{}` has no value; write one, or remove the line for its default",
                    printable(name)
                )
            }
            ProblemKind::Value { name, text, expected } => {
                write!(
                    out,
                    "`{}` is `{}`; it takes {expected}",
                    printable(name),
                    printable(text)
                )
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { file, error } => {
                write!(out, "{}: cannot be read: {error}", PrintablePath(file))
            }
            ConfigError::TooLarge { file } => {
                let most = units::exact_size(limits::FILE_SIZE_MAX);
                write!(
                    out,
                    "{}: larger than {most}, so not a configuration of shoal",
                    PrintablePath(file)
                )
            }
            ConfigError::NotUtf8 { file, line } => {
                write!(
                    out,
                    "{}:{line}: not UTF-8; save the file as UTF-8",
                    PrintablePath(file)
                )
            }
            ConfigError::Invalid { file, problems } => {
                for (index, problem) in problems.iter().enumerate() {
                    let line_break = if index == 0 { "" } else { "\n" };
                    write!(out, "{line_break}{}:{problem}", PrintablePath(file))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The beginning of a text of the file, fit for a line of a terminal.
fn printable(text: &str) -> String {
    /// Enough to recognise the place.
    const CHARS_MAX: usize = 60;
    let mut shown: String = Printable(text).to_string().chars().take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Levenshtein's distance: the least number of characters to insert, remove or replace.
pub(super) fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (left_index, left_char) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = left_index + 1;
        for (right_index, right_char) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(left_char != right_char);
            diagonal = row[right_index + 1];
            row[right_index + 1] = replaced.min(diagonal + 1).min(row[right_index] + 1);
        }
    }
    row[right.chars().count()]
}
