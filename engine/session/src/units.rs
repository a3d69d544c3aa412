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

/// Writes a moment given in seconds since 1970 for reading at a glance: `2026-11-21 08:33:03 UTC`.
#[must_use]
pub fn utc_time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March, so that a leap day is the last day of one. An era is
    // 400 years, 146,097 days; day 0 of the first is 0000-03-01, 719,468 days before 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
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
