//! Which kernel takes how many of the messages at hand.
//!
//! Which kernel is fastest depends on the processor and on the number of messages: on Zen 3, four streams interleaved
//! on the SHA extensions beat eight AVX2 lanes, on processors without these extensions AVX2 wins from two messages on,
//! and 16 AVX-512 lanes beat everything once they are mostly filled. Rather than a table of processor models, the
//! plan times every kernel it may use on a few kilobytes, once per process (0.3 ms on Zen 3), and splits any number of
//! messages so that the sum of the times is smallest.
//!
//! A bad measurement (the process was interrupted in each of the tries) costs speed for this run, never correctness.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{BLOCK_LEN, INITIAL, Kernel, LANES_MAX};

/// Blocks per lane in one timed call: long enough that calling and looking at the clock are lost in it (one hundredth on
/// Zen 3), short enough that the bytes, the same for all lanes, stay in the first-level cache.
const TIMED_BLOCKS: usize = 64;

/// The best of so many tries is the time without interruptions.
const TRIES: usize = 8;

/// How much less time, in hundredths, a kernel must take for each message to displace one that is favoured before it.
/// While another tenant keeps the other half of this core busy, kernels that are an eighth apart when it is quiet come
/// out equal or the other way around.
const DISPLACES_PERCENT: u32 = 15;

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
    /// How many at once take the least time each.
    lanes: usize,
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
            lanes: kernel.lanes(),
        }
    }

    /// The first step when `waiting` messages wait.
    pub(super) fn step(&self, waiting: usize) -> Step {
        self.steps[waiting.min(LANES_MAX) - 1]
    }

    /// How many messages at once take the least time each.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Many messages are hashed by the favourite step over and over. Fewer are split for the least total time: the best
    /// way through `n` messages is some step followed by the best way through the rest.
    fn fastest(costs: &[Cost]) -> Plan {
        let favourite = favourite(costs);
        let mut plan = Plan {
            steps: [favourite; LANES_MAX],
            lanes: favourite.lanes,
        };
        let mut best = [Duration::ZERO; 2 * LANES_MAX];
        for waiting in 1..=LANES_MAX.min(2 * favourite.lanes - 1) {
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

/// The kernel that takes the least time for each message with all of its lanes, where near ties go to the one that was
/// timed first.
fn favourite(costs: &[Cost]) -> Step {
    let each = |cost: &Cost| cost.time / cost.step.lanes as u32;
    let better = |one: Cost, other: Cost| {
        if each(&other) * (100 + DISPLACES_PERCENT) / 100 < each(&one) {
            other
        } else {
            one
        }
    };
    let full = costs
        .iter()
        .copied()
        .filter(|cost| cost.step.lanes == cost.step.kernel.lanes());
    full.reduce(better)
        .expect("the portable kernel is always there")
        .step
}

/// Times every supported kernel with every number of lanes that makes a difference to it, the favoured ones first: of
/// kernels that are equally fast the one that needs fewer messages for it.
fn measure() -> Vec<Cost> {
    let favoured = [Kernel::Avx512, Kernel::ShaNi, Kernel::Avx2, Kernel::Portable];
    let steps = favoured
        .into_iter()
        .filter(|kernel| kernel.is_supported())
        .flat_map(|kernel| {
            kernel
                .lanes_that_differ()
                .map(move |lanes| Step { kernel, lanes })
        });
    let mut costs: Vec<Cost> = steps
        .map(|step| Cost {
            step,
            time: Duration::MAX,
        })
        .collect();
    let block = [0x5A; TIMED_BLOCKS * BLOCK_LEN];
    let mut states = [INITIAL; LANES_MAX];
    // Taking turns, so that a processor that is still raising its clock does so for all of them.
    for _ in 0..TRIES {
        for Cost { step, time } in &mut costs {
            let began = Instant::now();
            step.kernel
                .compress(&mut states[..step.lanes], &[&block[..]; LANES_MAX][..step.lanes]);
            *time = began.elapsed().min(*time);
        }
    }
    costs
}

#[cfg(test)]
mod tests;
