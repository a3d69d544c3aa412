//! What the measurements say: medians, ratios and their spread, as tables for people or as JSON.
//!
//! Every figure is a median over the runs, with the lowest and highest beside it where they matter. Ratios are shoal's
//! median divided by the competitor's: below 1 is better for CPU time, above 1 for throughput. The JSON has every sample.

mod checking;
mod fetching;
mod ratio;
mod seeding;
mod statistics;
mod table;
#[cfg(test)]
mod tests;

use crate::measure::Machine;
pub(crate) use checking::{CheckReport, CheckRow, DISK_READER};
pub(crate) use fetching::{FetchReport, FetchRow};
pub(crate) use seeding::{SeedReport, SeedRow, progress};

/// Where and how it was measured.
fn header(machine: &Machine) -> String {
    format!(
        "{}, {} cores, {} MiB, Linux {}, {}, {} UTC\n{}\n\n",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.disk,
        machine.date,
        machine.command
    )
}
