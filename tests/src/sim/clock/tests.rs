use std::time::Duration;

use shoal_world::Time;

use super::Clock;

#[test]
fn events_come_by_time_and_then_in_the_order_they_were_announced() {
    let mut clock = Clock::default();
    clock.after(Duration::from_millis(2), "late");
    clock.after(Duration::from_millis(1), "first");
    clock.after(Duration::from_millis(1), "second");
    let all: Vec<_> = std::iter::from_fn(|| clock.next(Time::from_ns(1_500_000))).collect();
    assert_eq!(all, ["first", "second"]);
    assert_eq!(
        clock.now(),
        Time::from_ns(1_500_000),
        "the clock shows what was waited for"
    );
    clock.at(Time::ZERO, "past");
    assert_eq!(clock.next(Time::from_ns(9_000_000)), Some("past"));
    assert_eq!(clock.next(Time::from_ns(9_000_000)), Some("late"));
}
