//! Which kernel takes how many of the messages at hand.
//!
//! Which kernel is fastest depends on the processor and on the number of messages: on Zen 3, four streams interleaved
//! on the SHA extensions beat eight AVX2 lanes, on processors without these extensions AVX2 wins from two messages on,
//! and 16 AVX-512 lanes beat everything once they are mostly filled. Rather than a table of processor models, the
//! plan times every kernel it may use on a few kilobytes, once per process (0.2 ms on Zen 3), and splits any number of
//! messages so that the sum of the times is smallest.
//!
//! A bad measurement (the process was interrupted in each of the tries) costs speed for this run, never correctness.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{BLOCK_LEN, INITIAL, Kernel, LANES_MAX};

/// Blocks per lane in one timed call: long enough that the call's overhead is lost in it, short enough that all lanes
/// stay in the first-level cache (16 lanes of 1 KiB).
const TIMED_BLOCKS: usize = 16;

/// The best of so many tries is the time without interruptions.
const TRIES: usize = 8;

/// What to do first when a number of messages wait: this kernel for that many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Which kernel.
    pub(super) kernel: Kernel,
    /// How many of the waiting messages it takes.
    pub(super) lanes: usize,
}

/// What a kernel needs for some number of lanes.
#[derive(Clone, Copy, Debug)]
struct Cost {
    step: Step,
    /// Time for the same number of blocks in each lane.
    time: Duration,
}

/// For every number of waiting messages, the first step of the fastest way through them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `steps[n - 1]` is for `n` waiting messages.
    steps: [Step; LANES_MAX],
}

impl Plan {
    /// The fastest on this processor, measured when it is first asked for.
    pub fn of_this_processor() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan::fastest(&measure()))
    }

    /// Uses one kernel for everything.
    pub fn only(kernel: Kernel) -> Plan {
        Plan {
            steps: std::array::from_fn(|index| Step {
                kernel,
                lanes: kernel.lanes().min(index + 1),
            }),
        }
    }

    /// The first step when `waiting` messages wait.
    pub(super) fn step(&self, waiting: usize) -> Step {
        self.steps[waiting.min(LANES_MAX) - 1]
    }

    /// Lanes of the step that many messages begin with.
    pub(super) fn lanes(&self) -> usize {
        self.steps[LANES_MAX - 1].lanes
    }

    /// Least total time for each number of messages, from the times of the single steps: the best way through `n`
    /// messages is some step followed by the best way through the rest.
    fn fastest(costs: &[Cost]) -> Plan {
        let mut plan = Plan::only(Kernel::Portable);
        let mut best = [Duration::ZERO; LANES_MAX + 1];
        for waiting in 1..=LANES_MAX {
            let ways = costs.iter().map(|cost| {
                let lanes = cost.step.lanes.min(waiting);
                let kernel = cost.step.kernel;
                (cost.time + best[waiting - lanes], Step { kernel, lanes })
            });
            (best[waiting], plan.steps[waiting - 1]) = ways
                .min_by_key(|(time, _)| *time)
                .expect("the portable kernel is always there");
        }
        plan
    }
}

/// Times every supported kernel with every number of lanes it accepts.
fn measure() -> Vec<Cost> {
    let supported = Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported());
    let steps = supported.flat_map(|kernel| (1..=kernel.lanes()).map(move |lanes| Step { kernel, lanes }));
    let block = [0x5A; TIMED_BLOCKS * BLOCK_LEN];
    steps
        .map(|step| {
            let mut states = [INITIAL; LANES_MAX];
            let time = (0..TRIES).map(|_| {
                let began = Instant::now();
                step.kernel
                    .compress(&mut states[..step.lanes], &[&block[..]; LANES_MAX][..step.lanes]);
                began.elapsed()
            });
            let time = time.min().expect("tries are more than none");
            Cost { step, time }
        })
        .collect()
}

#[cfg(test)]
mod tests;
