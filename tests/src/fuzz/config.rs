//! Configuration files: a text with mistakes is refused as a whole and every mistake has its place.

use shoal::config::{Config, Problem};

/// Any text as a configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => check_rewriting(&config),
        Err(problems) => check_problems(&problems, text),
    }
}

/// What is written is read back to the same, setting by setting and as a file.
fn check_rewriting(config: &Config) {
    let mut set = Config::default();
    for (name, value) in config.entries() {
        set.set(name, &value)
            .unwrap_or_else(|error| panic!("{name}: {value}: {error:?}"));
    }
    assert_eq!(set, *config);
    let file = config.file_text();
    assert_eq!(Config::parse(&file).as_ref(), Ok(config), "{file}");
}

/// Problems are in order, inside the text, and fit a line of a terminal.
fn check_problems(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty(), "refused without a reason");
    assert!(problems.is_sorted_by_key(|problem| problem.place), "{problems:?}");
    // The end of the text is a place as well: the beginning of the line behind the last.
    let mut columns: Vec<_> = lines(text).map(|line| line.chars().count() + 1).collect();
    columns.push(1);
    for problem in problems {
        let column_max = problem
            .place
            .line
            .checked_sub(1)
            .and_then(|line| columns.get(line));
        let inside = column_max.is_some_and(|max| (1..=*max).contains(&problem.place.column));
        assert!(inside, "{problem} is not in {text:?}");
        let sentence = problem.to_string();
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    }
}

/// The lines of a YAML text: they end with a line feed, a carriage return, or both.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let ending = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}
