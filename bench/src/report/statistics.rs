//! The statistics of a handful of runs.

use serde::Serialize;

/// Median and extremes. With three runs there is nothing better to say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of no values. The median of an even number of values is the mean of the two in the middle.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        };
        Some(Spread { median, min, max })
    }

    /// The extremes, for people.
    pub(super) fn range(&self, digits: usize) -> String {
        format!("({:.digits$}-{:.digits$})", self.min, self.max)
    }
}
