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

fn scenario(seeder_cores: Vec<usize>, load_cores: Vec<usize>) -> Scenario {
    Scenario {
        name: "test".into(),
        torrents: Vec::new(),
        connections: 2,
        cold: false,
        warm: false,
        span: Span::Laps(1),
        seeder_cores,
        load_cores,
        baseline: None,
    }
}

#[test]
fn a_sample_is_the_window_in_the_units_of_the_report() {
    let window = window(&[(512, 2), (512, 2)]);
    let cost = Cost {
        seeder_cpu: Duration::from_millis(300),
        cores: Duration::from_millis(2_000),
        memory: Memory::default(),
    };
    let sample = Sample::new(&window, &cost, &scenario(vec![0], vec![1, 2]));
    assert_eq!((sample.gib, sample.seconds, sample.gib_per_s), (1.0, 2.0, 0.5));
    assert_eq!((sample.cpu_s_per_gib, sample.cpu_both_s_per_gib), (0.3, 1.8));
    assert_eq!(sample.seeder_busy, 0.15);
    // Of 2 s on all cores the seeder had 0.3 and the generator 1.5.
    assert_eq!((sample.generator_busy, sample.disturbed), (0.375, 0.1));
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
