use std::time::Instant;

use hdrhistogram::Histogram;

use super::*;
use crate::load::Share;

/// A window of two seconds in which each connection received `(MiB, seconds it took)`.
fn window(shares: &[(u64, u64)]) -> Window {
    let begin = Instant::now();
    let mut latency_us = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
    latency_us.record_n(1_000, 98).unwrap();
    latency_us.record_n(5_000, 2).unwrap();
    Window {
        begin,
        end: begin + Duration::from_secs(2),
        shares: shares
            .iter()
            .map(|&(mib, seconds)| Share {
                bytes: mib << 20,
                elapsed: Duration::from_secs(seconds),
            })
            .collect(),
        latency_us,
        generator_cpu: Duration::from_millis(1_500),
    }
}

#[test]
fn a_sample_is_the_window_in_the_units_of_the_report() {
    let window = window(&[(512, 2), (512, 2)]);
    let sample = Sample::new(
        &window,
        Duration::from_millis(300),
        Duration::from_millis(100),
        Memory::default(),
        2,
    );
    assert_eq!((sample.gib, sample.seconds, sample.gib_per_s), (1.0, 2.0, 0.5));
    assert_eq!(
        (sample.cpu_s_per_gib, sample.generator_busy, sample.stolen),
        (0.3, 0.375, 0.05)
    );
    assert!((sample.latency.p50_ms - 1.0).abs() < 0.01, "{:?}", sample.latency);
    assert!((sample.latency.p99_ms - 5.0).abs() < 0.01, "{:?}", sample.latency);
}

#[test]
fn fairness_compares_rates_and_not_bytes() {
    assert_eq!(slowest_share(&window(&[(100, 2), (100, 2)])), 1.0);
    // Half the bytes in half the time is the same rate.
    assert_eq!(slowest_share(&window(&[(100, 2), (50, 1)])), 1.0);
    // 50 and 150 MiB/s: the slowest has half of the mean.
    assert_eq!(slowest_share(&window(&[(100, 2), (300, 2)])), 0.5);
    assert_eq!(slowest_share(&window(&[(0, 2), (300, 2)])), 0.0);
    assert_eq!(slowest_share(&window(&[(0, 2)])), 0.0);
}
