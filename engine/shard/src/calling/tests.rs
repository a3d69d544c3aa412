use std::net::SocketAddr;
use std::time::Duration;

use shoal_world::Time;

use super::{Candidates, State};
use crate::limits::{CALL_AGAIN_AFTER, CALL_DOUBLINGS_MAX, CANDIDATES_MAX};

fn address(number: u32) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from(number), 6881))
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

#[test]
fn an_address_is_busy_until_its_call_or_connection_ended() {
    let mut candidates = Candidates::default();
    candidates.insert(address(1));
    assert_eq!(candidates.next(Time::ZERO), Some(address(1)));
    assert_eq!(candidates.next(Time::ZERO), None);
    candidates.insert(address(1));
    assert_eq!(
        candidates.next(Time::ZERO),
        None,
        "to hear of it again changes nothing"
    );
    candidates.ended(at(10), address(1));
    assert_eq!(candidates.due_at(), Some(at(15)));
    assert_eq!(candidates.next(at(14)), None);
    assert_eq!(candidates.next(at(15)), Some(address(1)));
}

#[test]
fn every_failure_doubles_the_waiting_time_up_to_a_maximum() {
    let mut candidates = Candidates::default();
    candidates.insert(address(1));
    let mut now = Time::ZERO;
    for failure in 0..20 {
        assert_eq!(candidates.next(now), Some(address(1)));
        candidates.ended(now, address(1));
        let expected = CALL_AGAIN_AFTER * 2_u32.pow(failure.min(CALL_DOUBLINGS_MAX));
        let due_at = candidates.due_at().unwrap();
        assert_eq!(due_at.since(now), expected);
        now = due_at;
    }
    candidates.next(now);
    candidates.was_useful(address(1));
    candidates.ended(now, address(1));
    assert_eq!(candidates.due_at(), Some(now + CALL_AGAIN_AFTER));
}

#[test]
fn an_address_that_waits_is_called_at_once_when_somebody_names_it() {
    let mut candidates = Candidates::default();
    candidates.insert(address(1));
    candidates.next(Time::ZERO);
    candidates.ended(Time::ZERO, address(1));
    candidates.insert(address(1));
    assert_eq!(candidates.next(Time::ZERO), Some(address(1)));
}

#[test]
fn who_failed_least_is_called_first() {
    let mut candidates = Candidates::default();
    candidates.insert(address(1));
    candidates.next(Time::ZERO);
    candidates.ended(Time::ZERO, address(1));
    candidates.insert(address(2));
    assert_eq!(candidates.next(at(100)), Some(address(2)));
    assert_eq!(candidates.next(at(100)), Some(address(1)));
}

#[test]
fn a_useless_address_is_never_called_again() {
    let mut candidates = Candidates::default();
    candidates.insert(address(1));
    candidates.next(Time::ZERO);
    candidates.dismiss(address(1));
    candidates.ended(Time::ZERO, address(1));
    candidates.insert(address(1));
    assert_eq!(candidates.next(at(10_000)), None);
    assert_eq!(candidates.due_at(), None);
    assert_eq!(candidates.known[&address(1)].state, State::Useless);
}

#[test]
fn addresses_have_a_maximum() {
    let mut candidates = Candidates::default();
    (0..2 * CANDIDATES_MAX as u32).for_each(|number| candidates.insert(address(number)));
    assert_eq!(candidates.known.len(), CANDIDATES_MAX);
}
