//! Rates and the remaining time, from sums that are looked at now and then.
//!
//! A rate is what was added in the last few seconds: one look at a time would jump with every burst, and the average
//! since the beginning would not notice that a peer left. Nothing here reads a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a rate looks back on: long enough to be read, short enough to follow what happens.
const WINDOW: Duration = Duration::from_secs(5);

/// The longest remaining time that is worth saying.
const LEFT_MAX: Duration = Duration::from_secs(100 * 24 * 60 * 60);

/// A sum of bytes that only grows.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// When it was looked at and what it was, oldest first. One look is older than the window, or none is.
    looks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// The sum is this now.
    pub(super) fn look(&mut self, now: Instant, bytes: u64) {
        while self.looks.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.looks.pop_front();
        }
        self.looks.push_back((now, bytes));
    }

    /// Bytes in a second, lately.
    pub(super) fn bytes_per_s(&self) -> u64 {
        let (Some((began, before)), Some((ended, after))) = (self.looks.front(), self.looks.back()) else {
            return 0;
        };
        let seconds = (*ended - *began).as_secs_f64();
        if seconds > 0.0 {
            (after.saturating_sub(*before) as f64 / seconds) as u64
        } else {
            0
        }
    }

    /// How long so many bytes take at the rate of late; nothing when they may take for ever.
    pub(super) fn left(&self, bytes: u64) -> Option<Duration> {
        let seconds = bytes.checked_div(self.bytes_per_s())?;
        Some(Duration::from_secs(seconds)).filter(|left| *left <= LEFT_MAX)
    }
}

#[cfg(test)]
mod tests;
