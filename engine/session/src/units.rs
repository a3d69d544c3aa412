//! Sizes, durations and counts as people write them: `64MiB`, `10s`, `2000`.
//!
//! One reader and one writer for each, used by the configuration file, the command line and reports, so that
//! what is printed can be typed back. Deliberately strict, because the lenient readings disagree with each other:
//! `MB` is a million bytes to some and 2^20 to others, `017` is fifteen to YAML 1.1 and seventeen to YAML 1.2,
//! `1e9` is a float. Such a text is refused, never guessed.
//!
//! Not here: what a number means or which numbers make sense; that is decided where a setting is declared.

use std::time::Duration;

/// Units of size, largest first, so that the first one that divides a size evenly is the shortest way to write it.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Units of duration in milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a whole number: decimal digits only, without sign, leading zero or separator.
#[must_use]
pub fn parse_count(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Reads a size in bytes: `1048576`, `256KiB`, `64 MiB`. Units are powers of 1024; case does not matter.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    if unit.is_empty() {
        return parse_count(number);
    }
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    parse_count(number)?.checked_mul(*bytes)
}

/// Reads a duration: `500ms`, `10s`, `2m`, `1h`. The unit is required, because a bare number has been seconds in
/// one program and milliseconds in the next.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let (_, milliseconds) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
    parse_count(number)?
        .checked_mul(*milliseconds)
        .map(Duration::from_millis)
}

/// Writes a size exactly, in the largest unit that divides it: `64MiB`, `1000B`.
#[must_use]
pub fn exact_size(bytes: u64) -> String {
    exact(bytes, &SIZE_UNITS)
}

/// Writes a duration exactly (to the millisecond), in the largest unit that divides it: `90s`, `2m`.
#[must_use]
pub fn exact_duration(duration: Duration) -> String {
    exact(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &DURATION_UNITS,
    )
}

/// Writes a size for reading at a glance, in three or four digits: `4.00 GiB`, `812 KiB`.
#[must_use]
pub fn rounded_size(bytes: u64) -> String {
    let Some((unit, scale)) = SIZE_UNITS.iter().find(|(_, scale)| bytes >= *scale) else {
        return "0 B".to_owned();
    };
    if *scale == 1 {
        return format!("{bytes} B");
    }
    let value = bytes as f64 / *scale as f64;
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$} {unit}")
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.strip_prefix(' ').unwrap_or(unit))
}

fn exact(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, scale) = units
        .iter()
        .find(|(_, scale)| value != 0 && value.is_multiple_of(*scale))
        .or(units.last())
        .expect("a table of units is never empty");
    format!("{}{unit}", value / scale)
}

#[cfg(test)]
mod tests;
