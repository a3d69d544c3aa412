use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shoal_world::Time;

use super::{Direction, Gate, Throttle};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const BLOCK: u64 = 16_384;

/// Blocks that pass in so many milliseconds, for somebody who looks every millisecond.
fn passed(gate: &Gate<'_>, from_ms: u64, ms: u64) -> u64 {
    let mut blocks = 0;
    for at in from_ms..from_ms + ms {
        let now = Time::from_ns(at * 1_000_000);
        while let Ok(portion) = gate.blocks(now) {
            let taken = portion.min(1_000) as u64;
            gate.charge(now, taken * BLOCK);
            blocks += taken;
            if taken >= 1_000 {
                break;
            }
        }
    }
    blocks
}

#[test]
fn over_any_second_no_more_passes_than_the_rate_allows() {
    let direction = Direction {
        all: Throttle::new(Some(64 * BLOCK)),
        ..Direction::default()
    };
    let own = Throttle::default();
    let gate = Gate::new(&direction, &own, THERE, false);
    for second in 0..5 {
        let blocks = passed(&gate, second * 1_000, 1_000);
        assert!((63..=68).contains(&blocks), "{blocks} blocks in second {second}");
    }
    // What was not used is not saved up.
    let blocks = passed(&gate, 60_000, 1_000);
    assert!((63..=68).contains(&blocks), "{blocks} blocks after a pause");
}

#[test]
fn the_tightest_limit_holds() {
    let direction = Direction {
        all: Throttle::new(Some(1_000 * BLOCK)),
        internet: Throttle::new(Some(100 * BLOCK)),
    };
    let own = Throttle::new(Some(200 * BLOCK));
    let there = passed(&Gate::new(&direction, &own, THERE, false), 0, 1_000);
    assert!((99..=110).contains(&there), "{there} blocks to the internet");
    let here = passed(&Gate::new(&direction, &own, HERE, false), 10_000, 1_000);
    assert!((199..=215).contains(&here), "{here} blocks to a neighbour");
}

#[test]
fn a_limit_below_one_block_lets_one_pass_at_a_time() {
    let direction = Direction {
        all: Throttle::new(Some(BLOCK / 2)),
        ..Direction::default()
    };
    let own = Throttle::default();
    let gate = Gate::new(&direction, &own, THERE, false);
    assert_eq!(
        passed(&gate, 0, 10_000),
        6,
        "one at once, then one every two seconds"
    );
}

#[test]
fn overhead_counts_where_it_is_asked_for() {
    let direction = Direction {
        all: Throttle::new(Some(1_000 * BLOCK)),
        ..Direction::default()
    };
    let own = Throttle::default();
    let blocks = passed(&Gate::new(&direction, &own, THERE, true), 0, 10_000);
    assert!(
        (9_600..=9_720).contains(&blocks),
        "{blocks} blocks in ten seconds"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "cores are threads, and this is what they share"
)]
fn what_is_charged_on_several_cores_is_not_lost() {
    let throttle = Arc::new(Throttle::new(Some(1_000_000)));
    let threads = [(); 4].map(|()| {
        let throttle = Arc::clone(&throttle);
        thread::spawn(move || (0..1_000).for_each(|_| throttle.charge(Time::ZERO, 1_000)))
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Four million bytes at a million a second, less the burst.
    let opens_at = Time::ZERO + Duration::from_millis(4_000 - 50);
    assert_eq!(throttle.opens_at(Time::ZERO), Some(opens_at));
}

#[test]
fn what_was_owed_at_a_rate_does_not_bind_the_next_one() {
    let own = Throttle::new(Some(1));
    let direction = Direction::default();
    let gate = Gate::new(&direction, &own, THERE, false);
    gate.charge(Time::ZERO, BLOCK);
    assert!(gate.blocks(Time::ZERO).is_err(), "hours are owed");
    own.set(Some(64 * BLOCK));
    assert!(gate.blocks(Time::ZERO).is_ok());
}

#[test]
fn what_is_given_back_may_pass_again() {
    let throttle = Throttle::new(Some(1_000_000));
    throttle.charge(Time::ZERO, 500_000);
    assert!(throttle.opens_at(Time::ZERO).is_some());
    throttle.give_back(500_000);
    assert_eq!(throttle.opens_at(Time::ZERO), None);
    throttle.give_back(500_000);
    throttle.charge(Time::ZERO + Duration::from_secs(1), 500_000);
    assert!(
        throttle.opens_at(Time::ZERO + Duration::from_secs(1)).is_some(),
        "nothing is saved up"
    );
}
