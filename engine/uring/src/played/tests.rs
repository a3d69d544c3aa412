//! Random use of everything that shares memory with the kernel. Under Miri, every access of the other side is
//! checked against who owns the memory then, and against how it was ordered; under AddressSanitizer, against
//! whether it is still there.

use super::core::Core;

/// Miri takes a second for some hundred steps.
const SEEDS: u64 = if cfg!(miri) { 2 } else { 40 };
const STEPS: usize = if cfg!(miri) { 150 } else { 600 };

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
    for seed in 0..SEEDS {
        check(seed, true);
    }
}

#[test]
fn a_core_that_ends_with_everything_under_way_leaves_the_kernel_nothing() {
    for seed in 0..SEEDS {
        check(seed, false);
    }
}
