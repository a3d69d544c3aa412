use super::Meter;
use std::time::{Duration, Instant};

/// The rate after looks at (milliseconds, bytes).
fn rate(looks: &[(u64, u64)]) -> u64 {
    let (began, mut meter) = (Instant::now(), Meter::default());
    for (at, bytes) in looks {
        meter.look(began + Duration::from_millis(*at), *bytes);
    }
    meter.bytes_per_s()
}

#[test]
fn a_rate_is_that_of_the_last_seconds() {
    assert_eq!(rate(&[]), 0, "nothing is known");
    assert_eq!(rate(&[(0, 7)]), 0, "one look is no rate");
    assert_eq!(rate(&[(0, 7), (0, 9)]), 0, "nor is no time");
    assert_eq!(rate(&[(0, 100), (500, 600)]), 1_000);
    assert_eq!(
        rate(&[(0, 0), (1_000, 9_000), (6_000, 9_500), (11_000, 10_000)]),
        100,
        "what was long ago does not count"
    );
}

#[test]
fn the_time_left_is_said_when_there_is_a_rate() {
    let (now, mut meter) = (Instant::now(), Meter::default());
    assert_eq!(meter.left(1), None, "nothing moves");
    meter.look(now, 0);
    meter.look(now + Duration::from_secs(1), 10);
    assert_eq!(meter.left(600), Some(Duration::from_secs(60)));
    assert_eq!(meter.left(0), Some(Duration::ZERO));
    assert_eq!(meter.left(u64::MAX), None, "longer than anybody waits");
}
