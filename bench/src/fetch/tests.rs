use super::*;
use crate::measure::CpuTime;

fn at(milliseconds: u64) -> Duration {
    Duration::from_secs(1_000) + Duration::from_millis(milliseconds)
}

/// Four GiB in 8 s, of which the process computed 6 s and the seeder 2 s.
fn observed() -> Observed {
    let cpu = CpuTime {
        user: Duration::from_secs(2),
        system: Duration::from_secs(4),
    };
    Observed {
        begun: at(0),
        cost: Cost {
            ended: at(8_000),
            cpu,
            resident_peak_kib: 77,
            written_len: 4 * GIB,
        },
        visit: Visit {
            first_sent: at(250),
            last_sent: at(7_500),
            sent_len: 5 * GIB,
        },
        seeder_cpu: Duration::from_secs(2),
        cores: Duration::from_secs(10),
        sync: Duration::from_secs(2),
    }
}

#[test]
fn a_sample_is_what_was_observed_in_the_units_of_the_report() {
    let sample = FetchSample::new(4 * GIB, &observed(), 1, 2);
    assert_eq!((sample.seconds, sample.gib_per_s()), (8.0, 0.5));
    assert_eq!((sample.sync_seconds, sample.synced_gib_per_s()), (2.0, 0.4));
    assert_eq!(
        (
            sample.cpu_s_per_gib(),
            sample.system_s_per_gib(),
            sample.cpu_both_s_per_gib()
        ),
        (1.5, 1.0, 2.0)
    );
    assert_eq!(
        (sample.first_payload_seconds, sample.after_payload_seconds),
        (0.25, 0.5)
    );
    assert_eq!((sample.written_share, sample.sent_share), (1.0, 1.25));
    // Of 10 s that the cores worked, process and seeder had 8.
    assert_eq!(
        (sample.fetcher_busy, sample.seeder_busy, sample.others_busy),
        (0.75, 0.125, 0.25)
    );
}

#[test]
fn every_peer_has_an_address_that_is_not_the_clients() {
    let addresses = peer_addresses(Scenario::Hundred.peers(), 7_000);
    assert_eq!(addresses.len(), 100);
    assert_eq!(addresses[0], "127.0.0.2:7000".parse().unwrap());
    assert_eq!(addresses[99], "127.0.0.101:7000".parse().unwrap());
}

#[test]
fn more_peers_are_compared_with_one() {
    assert_eq!(Scenario::One.baseline(), None);
    for many in [Scenario::Eight, Scenario::Hundred] {
        assert_eq!(many.baseline(), Some(Scenario::One));
    }
}

#[test]
fn what_is_not_there_needs_no_deleting() {
    let work = tempfile::tempdir().unwrap();
    let directory = work.path().join("fetched");
    remove(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("left"), "over").unwrap();
    remove(&directory).unwrap();
    assert!(!directory.exists());
}
