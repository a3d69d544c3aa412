//! Random use of everything that shares memory with the kernel. Under Miri, every access of the other side is
//! checked against who owns the memory then, and against how it was ordered; under AddressSanitizer, against
//! whether it is still there.

use std::env;
use std::ops::Range;

use super::core::Core;

/// Steps of one run. Miri takes half a second for each.
const STEPS: usize = if cfg!(miri) { 100 } else { 600 };

/// How many seeds each test runs: `PLAYED_SEEDS`, or few.
fn seeds() -> Range<u64> {
    let few = if cfg!(miri) { 1 } else { 40 };
    0..env::var("PLAYED_SEEDS").map_or(few, |count| count.parse().expect("a number"))
}

fn check(seed: u64, finishes: bool) {
    println!("seed {seed}");
    let mut core = Core::new(seed);
    for _ in 0..STEPS {
        core.step();
    }
    if finishes {
        core.finish();
    }
}

#[test]
fn what_the_kernel_holds_is_its_own_until_it_gives_it_back() {
    for seed in seeds() {
        check(seed, true);
    }
}

#[test]
fn a_core_that_ends_with_everything_under_way_leaves_the_kernel_nothing() {
    for seed in seeds() {
        check(seed, false);
    }
}
