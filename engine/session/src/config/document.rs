//! A YAML text as a flat list of settings with their places.
//!
//! It reads the parser's events, each with its place, and keeps only `name: value` pairs of one mapping. Every plain
//! value stays the text that was written: YAML's guesses (`no` as a boolean, `017` as octal, `1e9` as a float) do not
//! take place. Aliases are refused, not expanded, so a text cannot grow while it is read, and nested values are skipped
//! by counting, so depth costs nothing.
//!
//! Not here: which names exist and what their values may be.

use super::limits;
use super::problem::{ConfigError, Place, Problem, ProblemKind};
use saphyr_parser::{Event, Marker, Parser, Span};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// One `name: value` with the places of both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) name_place: Place,
    pub(super) text: String,
    pub(super) text_place: Place,
}

/// Reads the whole file as text.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened
        .take(limits::FILE_SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limits::FILE_SIZE_MAX {
        return Err(ConfigError::TooLarge {
            file: file.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ConfigError::NotUtf8 {
            file: file.to_owned(),
            line: 1 + valid.iter().filter(|byte| **byte == b'\n').count(),
        }
    })
}

/// All settings of a text, and all that is wrong with its form.
pub(super) fn entries(text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(text),
        entries: Vec::new(),
        problems: Vec::new(),
        seen: HashMap::new(),
    };
    // A stop at a syntax error has already been noted as a problem.
    let _ = reader.stream();
    (reader.entries, reader.problems)
}

/// The text is not YAML from here on; the problem is noted.
struct Unparsable;

/// The value that follows a key.
enum Node {
    Text(String),
    Nested,
    Indirect,
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    /// Names met so far, with their line.
    seen: HashMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn stream(&mut self) -> Result<(), Unparsable> {
        let mut documents = 0;
        while let Some((event, place)) = self.next()? {
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents == 2 {
                        self.note(place, ProblemKind::SecondDocument);
                    }
                }
                Event::MappingStart(..) if documents == 1 => self.mapping()?,
                // An empty file is a document with an empty value.
                Event::Scalar(text, ..) if documents == 1 && text.is_empty() => {}
                Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                    if documents == 1 {
                        self.note(place, ProblemKind::NotSettings);
                    }
                    self.skip_nested(&event)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mapping(&mut self) -> Result<(), Unparsable> {
        while let Some((event, name_place)) = self.next()? {
            match event {
                Event::MappingEnd => break,
                Event::Scalar(name, _, 0, None) => self.setting(name.into_owned(), name_place)?,
                _ => {
                    self.note(name_place, ProblemKind::KeyNotText);
                    self.skip_nested(&event)?;
                    self.value()?;
                }
            }
        }
        Ok(())
    }

    fn setting(&mut self, name: String, name_place: Place) -> Result<(), Unparsable> {
        let (node, text_place) = self.value()?;
        if let Some(first_line) = self.seen.get(&name).copied() {
            self.note(name_place, ProblemKind::Duplicate { name, first_line });
            return Ok(());
        }
        self.seen.insert(name.clone(), name_place.line);
        match node {
            Node::Text(text) if text.is_empty() || text == "~" || text == "null" => {
                self.note(name_place, ProblemKind::Empty { name });
            }
            Node::Text(text) => self.entries.push(Entry {
                name,
                name_place,
                text,
                text_place,
            }),
            Node::Nested => self.note(text_place, ProblemKind::NotOneValue { name }),
            Node::Indirect => self.note(text_place, ProblemKind::Indirect { name }),
        }
        Ok(())
    }

    fn value(&mut self) -> Result<(Node, Place), Unparsable> {
        let Some((event, place)) = self.next()? else {
            return Ok((Node::Nested, Place { line: 1, column: 1 }));
        };
        let node = match &event {
            Event::Scalar(text, _, 0, None) => Node::Text(text.clone().into_owned()),
            Event::Scalar(..) | Event::Alias(_) => Node::Indirect,
            _ => Node::Nested,
        };
        self.skip_nested(&event)?;
        Ok((node, place))
    }

    /// Reads on to the end of the list or mapping that `first` begins; other events have nothing to skip.
    fn skip_nested(&mut self, first: &Event<'a>) -> Result<(), Unparsable> {
        let mut depth = depth_change(first);
        while depth > 0 {
            let Some((event, _)) = self.next()? else { break };
            depth += depth_change(&event);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Place)>, Unparsable> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, place(span)))),
            Some(Err(error)) => {
                let place = error_place(self.text, error.marker());
                self.note(place, ProblemKind::Syntax(error.info().to_owned()));
                Err(Unparsable)
            }
        }
    }

    fn note(&mut self, place: Place, kind: ProblemKind) {
        self.problems.push(Problem { place, kind });
    }
}

fn depth_change(event: &Event<'_>) -> i64 {
    match event {
        Event::SequenceStart(..) | Event::MappingStart(..) => 1,
        Event::SequenceEnd | Event::MappingEnd => -1,
        _ => 0,
    }
}

/// The parser counts the bytes of a directive (`%…`) where it counts the characters of all else; what that puts behind the
/// line stands at its end.
fn error_place(text: &str, marker: &Marker) -> Place {
    let text = text.replace("\r\n", "\n");
    let line = text.split(['\n', '\r']).nth(marker.line() - 1);
    let column_max = 1 + line.map_or(0, |line| line.chars().count());
    Place {
        line: marker.line(),
        column: column_max.min(marker.col() + 1),
    }
}

fn place(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}
