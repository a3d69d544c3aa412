//! Swarms in a box: seeds, sweeps, regressions. How to repeat one is in `tests/README.md`.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use shoal_shard::Slots;
use shoal_tests::sim::crowd::Crowd;
use shoal_tests::sim::disk::Drive;
use shoal_tests::sim::exchange;
use shoal_tests::sim::faults::Faults;
use shoal_tests::sim::flock::Flock;
use shoal_tests::sim::swarm::{self, Preset};
use shoal_tests::sim::sweeps::{self, Mishap};

/// Runs `body` with 0, 1, 2, … on two threads until it says that there is nothing more.
fn sweep(body: impl Fn(u64) -> bool + Sync) -> u64 {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    if !body(number) {
                        end.fetch_min(number, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    end.into_inner()
}

fn check_seed(preset: Preset, seed: u64) {
    if let Err(defect) = swarm::run(preset, seed, false) {
        panic!("{}", defect.report(&swarm::command(preset, seed)));
    }
}

fn check_mishap(mishap: Mishap) -> bool {
    sweeps::run(mishap, false).unwrap_or_else(|defect| panic!("{}", defect.report(&mishap.command())))
}

fn check_exchange(preset: Preset, seed: u64) {
    if let Err(defect) = exchange::run(preset, seed, false) {
        panic!("{}", defect.report(&exchange::command(preset, seed)));
    }
}

#[test]
fn daemons_of_thirty_seeds_fetch_from_each_other_whatever_happens() {
    sweep(|number| {
        check_exchange(Preset::Swarm, 6 + number);
        number < 30
    });
}

#[test]
fn daemons_of_twenty_quiet_seeds_fetch_from_each_other() {
    sweep(|seed| {
        check_exchange(Preset::Lite, seed);
        seed < 20
    });
}

/// Seeds in which fetching was wrong, and how.
#[test]
fn what_fetching_got_wrong_stays_fixed() {
    for (preset, seed, _found) in [
        (
            Preset::Lite,
            3,
            "a page was served as it was read before the second of its pieces was written",
        ),
        (
            Preset::Swarm,
            3,
            "a look at a synced file that failed for a moment was never repeated",
        ),
        (
            Preset::Swarm,
            4,
            "a file that could not be opened for a moment was never written",
        ),
        (
            Preset::Swarm,
            6,
            "the rest of a block that was dropped in a pause landed in the next buffer of its piece",
        ),
        (
            Preset::Swarm,
            76,
            "a seed that refused was asked again at once and kept a piece that nobody else might join",
        ),
        (
            Preset::Swarm,
            115,
            "two of those kept the last block from everybody else, for ever",
        ),
    ] {
        check_exchange(preset, seed);
    }
}

#[test]
fn swarms_of_sixty_seeds_keep_every_rule() {
    sweep(|seed| {
        check_seed(Preset::Swarm, seed);
        seed < 60
    });
}

#[test]
fn swarms_of_thirty_quiet_seeds_keep_every_rule() {
    sweep(|seed| {
        check_seed(Preset::Lite, seed);
        seed < 30
    });
}

/// Seeds that found something, and what.
#[test]
fn what_swarms_found_stays_fixed() {
    for (seed, _found) in [
        (
            4,
            "a file that was open beyond the limit was closed only when another was opened, and descriptors ran out",
        ),
        (
            6,
            "a file was closed for itself while all others were read: half a million openings for a thousand reads",
        ),
        (
            11,
            "the network let segments overtake each other after a partition",
        ),
        (
            876,
            "a plain peer that took a request back waited a minute before it asked on",
        ),
    ] {
        check_seed(Preset::Swarm, seed);
    }
}

/// Every commit looks at swarms that nobody has seen before.
#[test]
fn a_swarm_of_this_commit_keeps_every_rule() {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let hash = head.map_or(Vec::new(), |output| output.stdout);
    if hash.is_empty() {
        println!("skip: a swarm of this commit: this is no git checkout");
        return;
    }
    let seed = hash.iter().fold(0_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    for seed in (seed >> 8..).take(5) {
        check_seed(Preset::Swarm, seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11, 1_000_003] {
        let outcome = || swarm::run(Preset::Swarm, seed, false).map_err(|defect| defect.message);
        let (first, second) = (outcome().unwrap(), outcome().unwrap());
        assert_eq!(first, second);
        let outcome = || exchange::run(Preset::Lite, seed, false).map_err(|defect| defect.message);
        assert_eq!(outcome().unwrap(), outcome().unwrap());
    }
    let hashes = [3, 4].map(|seed| swarm::run(Preset::Lite, seed, false).unwrap().hash);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn any_operation_may_fail() {
    let runs = sweep(|number| check_mishap(Mishap::Fails(number + 1)));
    assert!(runs > 100, "only {runs} operations were tried");
}

#[test]
fn the_daemon_may_die_after_any_operation() {
    for power in [false, true] {
        let runs = sweep(|number| {
            check_mishap(Mishap::Dies {
                after: number + 1,
                power,
            })
        });
        assert!(runs > 100, "only {runs} operations were tried");
    }
}

/// Every byte of the handshakes and first messages, then steps that fall on every part of a block.
#[test]
fn a_conversation_may_break_at_any_byte() {
    let after = |number: u64| number.min(300) + number.saturating_sub(300) * 1_331;
    for to_daemon in [true, false] {
        let runs = sweep(|number| {
            check_mishap(Mishap::Breaks {
                to_daemon,
                after: after(number),
            })
        });
        assert!(runs > 200, "only {runs} places were tried");
    }
}

/// Where the disk is the limit, the last peer is finished not much later than the first: nobody is starved.
#[test]
fn a_flock_needs_little_more_than_its_seeder_dictates() {
    let flock = Flock {
        fetchers: 50,
        file_len: 32 << 20,
        piece_len: 128 << 10,
        seeder_up: 1 << 20,
        fetcher_up: 4 << 20,
        seeder_slots: Slots::Fixed(8),
        fetcher_slots: Slots::Fixed(8),
        super_seeds: false,
        faults: Faults::LITE,
        seed: 1,
    };
    let pace = flock.run().unwrap_or_else(|defect| panic!("{}", defect.message));
    assert!(pace.times() <= 1.3, "{:.2} times the least time", pace.times());
    assert!(
        pace.longest_wait <= Duration::from_secs(30),
        "a fetcher waited {:?} for a piece",
        pace.longest_wait
    );
}

#[test]
fn equal_peers_are_served_equally() {
    for (extents, frames) in [(8, 0), (64, 0), (64, 64)] {
        let crowd = Crowd {
            peers: 40,
            blocks: 128,
            rate: 100 << 20,
            file_len: 256 << 20,
            extents,
            frames,
            drive: Drive {
                rate: 20 << 20,
                ..Drive::FLASH
            },
        };
        let pace = crowd.run().unwrap_or_else(|defect| panic!("{}", defect.message));
        let sum: Duration = pace.finished.iter().sum();
        let mean = sum / pace.finished.len() as u32;
        assert!(
            pace.time < mean * 3 / 2,
            "with {extents} extents and {frames} frames the last was finished after {:?}, the mean after {mean:?}",
            pace.time
        );
    }
}
