//! What the text of one setting may be: readers from text to value, and the sentence that says what was expected.
//!
//! A reader either returns the value or an [`Expected`]; it never guesses, clamps or falls back to a default.
//! The same readers serve the configuration file and the command line.

use crate::units;
use shoal_shard::Algorithm;
use shoal_uring::kernel::IoMode;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A setting that may be left to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// Derived from the machine when the session starts; written `auto`.
    Auto,
    /// As configured.
    Fixed(T),
}

/// How many peers of one torrent are unchoked at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadSlots {
    /// Every interested peer.
    Unlimited,
    /// This many.
    Limited(u32),
    /// As many as take enough.
    ByRate,
}

/// A limit of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// None.
    #[default]
    Unlimited,
    /// So many bytes a second.
    BytesPerSecond(u64),
}

impl Limit {
    /// The limit in bytes a second, if there is one.
    pub fn bytes_per_s(self) -> Option<u64> {
        match self {
            Limit::Unlimited => None,
            Limit::BytesPerSecond(limit) => Some(limit),
        }
    }
}

/// What counts against limits of rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsCount {
    /// Blocks.
    Payload,
    /// Blocks and what TCP and IP add to them.
    Traffic,
}

/// What a setting takes; `Display` completes the sentence "it takes …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    form: Form,
    /// A word that is also taken instead of the form.
    word: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Address,
    Cores,
    Count(RangeInclusive<u64>),
    Duration(RangeInclusive<Duration>),
    IoMode,
    /// One of these words.
    Words(&'static str),
    Size(RangeInclusive<u64>),
}

impl Expected {
    fn form(form: Form) -> Expected {
        Expected { form, word: None }
    }

    fn or(self, word: &'static str) -> Expected {
        Expected {
            word: Some(word),
            ..self
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: &u64| units::exact_size(*bytes);
        let time = |duration: &Duration| units::exact_duration(*duration);
        match &self.form {
            Form::Address => write!(out, "an address and a port such as 0.0.0.0:6881 or [::]:6881")?,
            Form::Cores => write!(out, "CPU numbers such as 0,1 or 0-3, each once")?,
            Form::Count(range) => write!(out, "a whole number from {} to {}", range.start(), range.end())?,
            Form::Duration(range) => {
                write!(
                    out,
                    "a duration from {} to {}",
                    time(range.start()),
                    time(range.end())
                )?;
            }
            Form::Words(words) => out.write_str(words)?,
            Form::IoMode => write!(out, "auto, direct or buffered")?,
            Form::Size(range) => {
                write!(
                    out,
                    "a size such as 64MiB, from {} to {}",
                    size(range.start()),
                    size(range.end())
                )?;
            }
        }
        self.word.map_or(Ok(()), |word| write!(out, ", or {word}"))
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, Expected> {
    text.parse().map_err(|_| Expected::form(Form::Address))
}

pub(super) fn count(text: &str, range: RangeInclusive<u64>) -> Result<u32, Expected> {
    units::parse_count(text)
        .filter(|count| range.contains(count))
        .and_then(|count| u32::try_from(count).ok())
        .ok_or(Expected::form(Form::Count(range)))
}

pub(super) fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    units::parse_size(text)
        .filter(|size| range.contains(size))
        .ok_or(Expected::form(Form::Size(range)))
}

pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Expected> {
    units::parse_duration(text)
        .filter(|duration| range.contains(duration))
        .ok_or(Expected::form(Form::Duration(range)))
}

/// Reads what `read` reads, or the word `auto`.
pub(super) fn auto<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Expected>,
) -> Result<Auto<T>, Expected> {
    if text == "auto" {
        return Ok(Auto::Auto);
    }
    read(text)
        .map(Auto::Fixed)
        .map_err(|expected| expected.or("auto"))
}

pub(super) fn io_mode(text: &str) -> Result<IoMode, Expected> {
    match text {
        "auto" => Ok(IoMode::Auto),
        "direct" => Ok(IoMode::Direct),
        "buffered" => Ok(IoMode::Buffered),
        _ => Err(Expected::form(Form::IoMode)),
    }
}

pub(super) fn write_io_mode(mode: IoMode) -> &'static str {
    match mode {
        IoMode::Auto => "auto",
        IoMode::Direct => "direct",
        IoMode::Buffered => "buffered",
    }
}

pub(super) fn upload_slots(text: &str, range: RangeInclusive<u64>) -> Result<UploadSlots, Expected> {
    if text == "unlimited" {
        return Ok(UploadSlots::Unlimited);
    }
    if text == "by-rate" {
        return Ok(UploadSlots::ByRate);
    }
    count(text, range)
        .map(UploadSlots::Limited)
        .map_err(|expected| expected.or("unlimited or by-rate"))
}

/// A size, with or without `/s`, or the word `unlimited`.
pub(super) fn limit(text: &str, range: RangeInclusive<u64>) -> Result<Limit, Expected> {
    if text == "unlimited" {
        return Ok(Limit::Unlimited);
    }
    size(text.strip_suffix("/s").unwrap_or(text), range)
        .map(Limit::BytesPerSecond)
        .map_err(|expected| expected.or("unlimited"))
}

pub(super) fn limits_count(text: &str) -> Result<LimitsCount, Expected> {
    match text {
        "payload" => Ok(LimitsCount::Payload),
        "traffic" => Ok(LimitsCount::Traffic),
        _ => Err(Expected::form(Form::Words("payload or traffic"))),
    }
}

pub(super) fn choking(text: &str) -> Result<Algorithm, Expected> {
    match text {
        "round-robin" => Ok(Algorithm::RoundRobin),
        "fastest" => Ok(Algorithm::Fastest),
        "anti-leech" => Ok(Algorithm::AntiLeech),
        _ => Err(Expected::form(Form::Words("round-robin, fastest or anti-leech"))),
    }
}

pub(super) fn write_choking(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RoundRobin => "round-robin",
        Algorithm::Fastest => "fastest",
        Algorithm::AntiLeech => "anti-leech",
    }
}

/// Reads CPU numbers: single ones and ranges, separated by commas, in any order, none twice.
pub(super) fn cores(text: &str) -> Result<Vec<usize>, Expected> {
    let expected = || Expected::form(Form::Cores);
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = core(first).ok_or_else(expected)?;
        let last = core(last).ok_or_else(expected)?;
        if first > last {
            return Err(expected());
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    let count = cores.len();
    cores.dedup();
    if cores.len() == count {
        Ok(cores)
    } else {
        Err(expected())
    }
}

/// Linux numbers at most 8192 CPUs (`CONFIG_NR_CPUS`); the bound also keeps a range from filling the memory.
fn core(text: &str) -> Option<usize> {
    let number = units::parse_count(text.trim())?;
    usize::try_from(number).ok().filter(|number| *number < 8192)
}

impl<T: fmt::Display> fmt::Display for Auto<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auto::Auto => out.write_str("auto"),
            Auto::Fixed(value) => value.fmt(out),
        }
    }
}

impl<T> Auto<T> {
    /// Converts a fixed value and keeps `auto`.
    #[must_use]
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Auto<U> {
        match self {
            Auto::Auto => Auto::Auto,
            Auto::Fixed(value) => Auto::Fixed(convert(value)),
        }
    }
}

impl fmt::Display for UploadSlots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UploadSlots::Unlimited => out.write_str("unlimited"),
            UploadSlots::Limited(slots) => slots.fmt(out),
            UploadSlots::ByRate => out.write_str("by-rate"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Unlimited => out.write_str("unlimited"),
            Limit::BytesPerSecond(limit) => out.write_str(&units::exact_size(*limit)),
        }
    }
}

impl fmt::Display for LimitsCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            LimitsCount::Payload => "payload",
            LimitsCount::Traffic => "traffic",
        })
    }
}

pub(crate) fn write_cores(cores: &[usize]) -> String {
    let runs = cores.chunk_by(|left, right| left + 1 == *right);
    let run = |run: &[usize]| match run {
        [only] => only.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    };
    runs.map(run).collect::<Vec<_>>().join(",")
}
