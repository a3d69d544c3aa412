use std::time::Duration;

use shoal_world::Time;

use super::Wheel;

fn seconds(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

#[test]
fn timers_come_up_in_order_and_never_early() {
    let mut wheel = Wheel::new();
    let times = [30_000, 5_001, 12_999].map(|ms| Time::ZERO + Duration::from_millis(ms));
    for when in times {
        wheel.wake(when, when);
    }
    let mut woken = Vec::new();
    for now in (0..40).map(seconds) {
        for when in wheel.due(now) {
            let late = now.as_ns().checked_sub(when.as_ns());
            assert!(
                late.is_some_and(|ns| ns <= 1_000_000_000),
                "{when:?} came up at {now:?}"
            );
            woken.push(when);
        }
    }
    assert_eq!(woken, [times[1], times[2], times[0]]);
    assert_eq!(wheel.deadline(), None);
}

#[test]
fn the_deadline_is_when_the_first_is_due() {
    let mut wheel = Wheel::new();
    wheel.wake((), seconds(7));
    let deadline = wheel.deadline().unwrap();
    assert_eq!(wheel.due(deadline).len(), 1);
}

#[test]
fn a_clock_that_jumps_wakes_everybody_once() {
    let mut wheel = Wheel::new();
    for when in 0..200 {
        wheel.wake(when, seconds(when));
    }
    assert_eq!(wheel.due(seconds(1_000_000)).len(), 200);
    wheel.wake(0, seconds(1_000_003));
    assert_eq!(wheel.due(seconds(1_000_002)).len(), 0);
    assert_eq!(wheel.due(seconds(1_000_004)).len(), 1);
}

#[test]
fn what_lies_beyond_the_horizon_comes_up_at_the_horizon() {
    let mut wheel = Wheel::new();
    wheel.wake((), seconds(10_000));
    assert_eq!(wheel.due(seconds(255)).len(), 1);
}
