use super::{Sample, status};
use shoal::session::Stats;
use std::time::{Duration, Instant};

#[test]
fn the_status_line_tells_rate_sums_and_cache() {
    let began = Instant::now();
    let before = Sample {
        at: began,
        stats: Stats {
            uploaded_bytes: 1 << 30,
            ..Stats::default()
        },
    };
    let now = Sample {
        at: began + Duration::from_secs(2),
        stats: Stats {
            uploaded_bytes: 3 << 30,
            uploaded_framed_bytes: 1 << 30,
            peers: 1,
            torrents: 12,
            ..Stats::default()
        },
    };
    assert_eq!(
        status(&before, &now),
        "1.00 GiB/s  3.00 GiB sent, 33% from cache  1 peer  12 torrents"
    );
    assert_eq!(
        status(
            &before,
            &Sample {
                at: began,
                stats: Stats::default()
            }
        ),
        "0 B/s  0 B sent, 0% from cache  0 peers  0 torrents",
        "no time and no bytes are no trouble"
    );
}
