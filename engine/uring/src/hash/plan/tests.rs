use std::time::Duration;

use super::{Cost, Plan, Step};
use crate::hash::{Kernel, LANES_MAX};

fn cost(kernel: Kernel, lanes: usize, time_ns: u64) -> Cost {
    Cost {
        step: Step { kernel, lanes },
        time: Duration::from_nanos(time_ns),
    }
}

fn steps(plan: &Plan, mut waiting: usize) -> Vec<(Kernel, usize)> {
    let mut steps = Vec::new();
    while waiting > 0 {
        let step = plan.step(waiting);
        steps.push((step.kernel, step.lanes));
        waiting -= step.lanes;
    }
    steps
}

#[test]
fn a_wide_kernel_is_used_once_enough_messages_wait() {
    let plan = Plan::fastest(&[cost(Kernel::Portable, 1, 100), cost(Kernel::Avx2, 8, 350)]);
    assert_eq!(steps(&plan, 1), [(Kernel::Portable, 1)]);
    assert_eq!(steps(&plan, 3), [(Kernel::Portable, 1); 3]);
    assert_eq!(steps(&plan, 4), [(Kernel::Avx2, 4)]);
    assert_eq!(steps(&plan, 8), [(Kernel::Avx2, 8)]);
}

#[test]
fn messages_are_split_where_the_parts_are_faster_than_the_whole() {
    let plan = Plan::fastest(&[
        cost(Kernel::Portable, 1, 100),
        cost(Kernel::ShaNi, 2, 110),
        cost(Kernel::ShaNi, 3, 140),
        cost(Kernel::ShaNi, 4, 170),
    ]);
    let mut split: Vec<usize> = steps(&plan, 5).into_iter().map(|(_, lanes)| lanes).collect();
    split.sort_unstable();
    assert_eq!(split, [2, 3], "four and one would take 270 instead of 250");
}

#[test]
fn near_ties_go_to_the_favoured() {
    let check = |avx2_ns, expected: &[(Kernel, usize)]| {
        let narrow = cost(Kernel::ShaNi, 3, 270);
        let costs = [
            narrow,
            cost(Kernel::ShaNi, 4, 400),
            cost(Kernel::Avx2, 8, avx2_ns),
            cost(Kernel::Portable, 1, 240),
        ];
        assert_eq!(
            steps(&Plan::fastest(&costs), 16),
            expected,
            "AVX2 takes {avx2_ns} ns"
        );
    };
    check(780, &[(Kernel::ShaNi, 4); 4]);
    check(600, &[(Kernel::Avx2, 8); 2]);
}

#[test]
fn more_messages_than_lanes_are_planned_like_the_most_lanes() {
    let plan = Plan::fastest(&[cost(Kernel::Portable, 1, 100), cost(Kernel::Avx2, 8, 350)]);
    assert_eq!(plan.step(1_000), plan.step(LANES_MAX));
    assert_eq!(plan.lanes(), 8);
}

#[test]
fn the_measured_plan_never_gives_a_kernel_more_lanes_than_it_has() {
    for waiting in 1..=LANES_MAX {
        let step = Plan::of_this_processor().step(waiting);
        assert!(step.kernel.is_supported());
        assert!((1..=step.kernel.lanes().min(waiting)).contains(&step.lanes));
    }
}
