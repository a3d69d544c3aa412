use std::collections::{BTreeMap, BTreeSet};

use shoal_world::{Rng, Socket, Time};

use super::{Algorithm, Candidate, Change, Choker, Slots};

fn peer(slot: u32) -> Socket {
    Socket { slot, generation: 0 }
}

#[test]
fn without_a_bound_everybody_is_unchoked_at_once() {
    let mut choker = seeding(Slots::Unlimited, Algorithm::RoundRobin);
    for slot in 0..100 {
        assert_eq!(choker.interested(peer(slot)), Some(Change::Unchoke(peer(slot))));
    }
    assert!(!choker.has_waiting());
}

#[test]
fn a_slot_that_is_left_goes_to_who_waits_longest() {
    let mut choker = fixed(1);
    assert_eq!(choker.interested(peer(1)), Some(Change::Unchoke(peer(1))));
    assert_eq!(choker.interested(peer(2)), None);
    assert_eq!(choker.interested(peer(3)), None);
    assert_eq!(choker.leaves(peer(2)), None);
    assert_eq!(choker.leaves(peer(1)), Some(Change::Unchoke(peer(3))));
}

#[test]
fn rotation_serves_everybody_equally_often() {
    let mut choker = fixed(3);
    let mut unchoked = BTreeMap::new();
    let mut count = |change: &Change| {
        if let Change::Unchoke(socket) = change {
            *unchoked.entry(*socket).or_insert(0) += 1;
        }
    };
    let peers = candidates(&mut choker, 10, |_| {});
    (0..3)
        .map(|slot| Change::Unchoke(peer(slot)))
        .for_each(|change| count(&change));
    for _ in 0..29 {
        let changes = choker.rotate(&peers, false, LATER, &mut Rng::new(1));
        changes.iter().for_each(&mut count);
    }
    assert_eq!(unchoked.len(), 10);
    let (least, most) = (unchoked.values().min().unwrap(), unchoked.values().max().unwrap());
    assert!(most - least <= 1, "served {least} to {most} times");
}

#[test]
fn nobody_is_choked_while_nobody_waits() {
    let mut choker = fixed(2);
    let peers = candidates(&mut choker, 2, |_| {});
    assert_eq!(choker.rotate(&peers, false, LATER, &mut Rng::new(1)), []);
}

/// Peers 0, 1, 2… that are interested, with what makes them different.
fn candidates(choker: &mut Choker, count: u32, differ: impl Fn(&mut Candidate)) -> Vec<Candidate> {
    let candidate = |slot| {
        choker.interested(peer(slot));
        let mut candidate = Candidate {
            socket: peer(slot),
            interested: true,
            given_bytes_per_s: 0,
            taken_bytes_per_s: 0,
            taken_bytes_since_unchoke: 0,
            has_fraction: 500,
            snubbed: false,
            joined: Time::ZERO,
        };
        differ(&mut candidate);
        candidate
    };
    (0..count).map(candidate).collect()
}

/// Lets the choker rotate; who is unchoked afterwards.
fn rotate(choker: &mut Choker, candidates: &[Candidate], fetching: bool, rng: &mut Rng) -> BTreeSet<u32> {
    choker.rotate(candidates, fetching, LATER, rng);
    choker.served.iter().map(|served| served.socket.slot).collect()
}

/// Nobody who came at the beginning is new.
const LATER: Time = Time::from_ns(3_600_000_000_000);

fn seeding(slots: Slots, algorithm: Algorithm) -> Choker {
    Choker::new(slots, algorithm)
}

fn fixed(slots: u32) -> Choker {
    seeding(Slots::Fixed(slots), Algorithm::RoundRobin)
}

#[test]
fn while_fetching_who_gives_most_is_served_and_one_other_is_tried() {
    let mut choker = fixed(4);
    let peers = candidates(&mut choker, 20, |peer| {
        peer.given_bytes_per_s = u64::from(peer.socket.slot);
    });
    let mut rng = Rng::new(1);
    let mut tried = Vec::new();
    for _ in 0..90 {
        let mut served = rotate(&mut choker, &peers, true, &mut rng);
        assert_eq!(served.len(), 4);
        assert!([17, 18, 19].iter().all(|slot| served.remove(slot)));
        tried.extend(served);
    }
    let turns: Vec<usize> = tried.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
    assert!(
        turns[1..turns.len() - 1].iter().all(|turn| *turn == 3),
        "turns of {turns:?} rotations"
    );
    let different: BTreeSet<u32> = tried.into_iter().collect();
    assert!(different.len() > 10, "{different:?} were tried");
}

#[test]
fn a_new_peer_is_tried_three_times_as_likely() {
    let mut rng = Rng::new(2);
    let mut new = 0;
    for _ in 0..4_000 {
        let mut choker = fixed(2);
        let mut peers = candidates(&mut choker, 3, |_| {});
        peers[0].given_bytes_per_s = 1;
        peers[2].joined = LATER;
        new += u32::from(rotate(&mut choker, &peers, true, &mut rng).contains(&2));
    }
    assert!(
        (2_850..3_150).contains(&new),
        "tried in {new} of 4,000 cases, not in three of four"
    );
}

#[test]
fn who_snubs_us_comes_last() {
    let mut choker = fixed(1);
    let mut peers = candidates(&mut choker, 2, |_| {});
    peers[0].given_bytes_per_s = 100;
    peers[0].snubbed = true;
    assert_eq!(rotate(&mut choker, &peers, true, &mut Rng::new(1)), [1].into());
    peers[1].interested = false;
    assert_eq!(rotate(&mut choker, &peers, true, &mut Rng::new(1)), [0].into());
}

#[test]
fn round_robin_keeps_who_takes_until_it_had_its_turn() {
    let mut choker = seeding(Slots::Fixed(1), Algorithm::RoundRobin);
    let mut peers = candidates(&mut choker, 2, |_| {});
    let mut rng = Rng::new(1);
    peers[0].taken_bytes_per_s = 1_000_000;
    peers[0].taken_bytes_since_unchoke = 1 << 30;
    let served: Vec<_> = (0..6)
        .map(|_| rotate(&mut choker, &peers, false, &mut rng))
        .collect();
    assert_eq!(served[..5], std::array::from_fn::<_, 5, _>(|_| [0].into()));
    assert_eq!(served[5], [1].into());
}

#[test]
fn round_robin_takes_the_slot_of_who_takes_nothing() {
    let mut choker = seeding(Slots::Fixed(1), Algorithm::RoundRobin);
    let peers = candidates(&mut choker, 3, |_| {});
    let mut rng = Rng::new(1);
    let served: Vec<_> = (0..4)
        .map(|_| rotate(&mut choker, &peers, false, &mut rng))
        .collect();
    assert_eq!(served, [[1].into(), [2].into(), [0].into(), [1].into()]);
}

#[test]
fn fastest_serves_who_takes_most() {
    let mut choker = seeding(Slots::Fixed(3), Algorithm::Fastest);
    let peers = candidates(&mut choker, 9, |peer| {
        peer.taken_bytes_per_s = u64::from(peer.socket.slot);
    });
    let mut rng = Rng::new(1);
    for _ in 0..60 {
        rotate(&mut choker, &peers, false, &mut rng);
    }
    let served = rotate(&mut choker, &peers, false, &mut rng);
    assert!(served.contains(&8) && served.contains(&7), "{served:?}");
}

#[test]
fn anti_leech_serves_those_at_the_beginning_and_at_the_end() {
    let mut choker = seeding(Slots::Fixed(3), Algorithm::AntiLeech);
    let peers = candidates(&mut choker, 11, |peer| peer.has_fraction = 100 * peer.socket.slot);
    let served = rotate(&mut choker, &peers, false, &mut Rng::new(1));
    assert!(
        served.len() == 3 && served.contains(&0) && served.contains(&10),
        "{served:?}"
    );
}

#[test]
fn slots_by_rate_open_while_each_takes_enough() {
    let served_at = |bytes_per_s: u64| {
        let mut choker = seeding(Slots::ByRate, Algorithm::RoundRobin);
        let peers = candidates(&mut choker, 40, |peer| peer.taken_bytes_per_s = bytes_per_s);
        let mut rng = Rng::new(1);
        (0..30)
            .map(|_| rotate(&mut choker, &peers, false, &mut rng).len())
            .last()
    };
    assert_eq!(served_at(0), Some(1));
    // 1, 3, 5, 7 and 9 KiB/s were enough; the sixth would need 11.
    assert_eq!(served_at(10 << 10), Some(6));
    assert_eq!(served_at(1 << 30), Some(34));
}

#[test]
fn a_rotation_says_exactly_what_it_changed() {
    let mut rng = Rng::new(3);
    let mut choker = fixed(3);
    let mut unchoked: BTreeSet<Socket> = (0..3).map(peer).collect();
    let mut peers = candidates(&mut choker, 12, |_| {});
    for _ in 0..200 {
        for peer in &mut peers {
            peer.given_bytes_per_s = u64::from(rng.below(5));
        }
        for change in choker.rotate(&peers, true, LATER, &mut rng) {
            match change {
                Change::Choke(socket) => assert!(unchoked.remove(&socket)),
                Change::Unchoke(socket) => assert!(unchoked.insert(socket) && unchoked.len() <= 3),
            }
        }
        assert_eq!((unchoked.len(), choker.waiting.len()), (3, 9));
    }
}

#[test]
fn without_a_bound_a_rotation_changes_nothing() {
    let mut choker = seeding(Slots::Unlimited, Algorithm::RoundRobin);
    let peers = candidates(&mut choker, 9, |_| {});
    assert_eq!(choker.rotate(&peers, true, LATER, &mut Rng::new(1)), []);
}
