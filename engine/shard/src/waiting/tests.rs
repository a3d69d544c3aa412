use shoal_world::Socket;

use super::Waiting;

fn socket(slot: u32) -> Socket {
    Socket { slot, generation: 0 }
}

#[test]
fn whoever_waits_longest_comes_first_and_nobody_twice() {
    let mut waiting = Waiting::default();
    for slot in [5, 1, 5, 3, 1] {
        waiting.insert(socket(slot));
    }
    waiting.remove(socket(1));
    assert_eq!(waiting.take(), [socket(5), socket(3)]);
    assert!(waiting.take().is_empty());
    waiting.insert(socket(5));
    assert_eq!(waiting.take(), [socket(5)]);
}
