use std::collections::BTreeMap;

use shoal_world::Socket;

use super::{Change, Choker};

fn peer(slot: u32) -> Socket {
    Socket { slot, generation: 0 }
}

#[test]
fn without_a_bound_everybody_is_unchoked_at_once() {
    let mut choker = Choker::new(None);
    for slot in 0..100 {
        assert_eq!(choker.interested(peer(slot)), Some(Change::Unchoke(peer(slot))));
    }
    assert!(!choker.has_waiting());
}

#[test]
fn a_slot_that_is_left_goes_to_who_waits_longest() {
    let mut choker = Choker::new(Some(1));
    assert_eq!(choker.interested(peer(1)), Some(Change::Unchoke(peer(1))));
    assert_eq!(choker.interested(peer(2)), None);
    assert_eq!(choker.interested(peer(3)), None);
    assert_eq!(choker.leaves(peer(2)), None);
    assert_eq!(choker.leaves(peer(1)), Some(Change::Unchoke(peer(3))));
}

#[test]
fn rotation_serves_everybody_equally_often() {
    let mut choker = Choker::new(Some(3));
    let mut unchoked = BTreeMap::new();
    let mut count = |change: &Change| {
        if let Change::Unchoke(socket) = change {
            *unchoked.entry(*socket).or_insert(0) += 1;
        }
    };
    for slot in 0..10 {
        choker.interested(peer(slot)).iter().for_each(&mut count);
    }
    for _ in 0..29 {
        choker.rotate().iter().for_each(&mut count);
    }
    assert_eq!(unchoked.len(), 10);
    let (least, most) = (unchoked.values().min().unwrap(), unchoked.values().max().unwrap());
    assert!(most - least <= 1, "served {least} to {most} times");
}

#[test]
fn nobody_is_choked_while_nobody_waits() {
    let mut choker = Choker::new(Some(2));
    choker.interested(peer(1));
    choker.interested(peer(2));
    assert_eq!(choker.rotate(), []);
}
