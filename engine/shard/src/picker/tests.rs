use std::sync::Arc;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout, PieceIndex, Span};
use shoal_world::{Rng, Socket};

use super::{Asker, Landed, Order, Picker, Priority};

mod model;

/// A torrent of pieces of so many blocks each, and peers that are asked.
struct Stage {
    layout: Arc<Layout>,
    picker: Picker,
    rng: Rng,
}

fn layout(pieces: u32, blocks: u32) -> Arc<Layout> {
    let len = u64::from(pieces) * u64::from(blocks * BLOCK_LEN);
    let file = FileLength { len, padding: false };
    Arc::new(Layout::new(blocks * BLOCK_LEN, [file]).unwrap())
}

fn peer(slot: u32) -> Socket {
    Socket { slot, generation: 0 }
}

impl Stage {
    /// Pieces as long as an extent and none of them had.
    fn new(pieces: u32) -> Stage {
        Stage::with(pieces, 16, &[], Order::RarestFirst)
    }

    fn with(pieces: u32, blocks: u32, have: &[u32], order: Order) -> Stage {
        let layout = layout(pieces, blocks);
        let have = field(&layout, have);
        Stage {
            picker: Picker::new(Arc::clone(&layout), &have, order),
            layout,
            rng: Rng::new(7),
        }
    }

    fn piece(&self, index: u32) -> PieceIndex {
        self.layout.piece(index).unwrap()
    }

    fn field(&self, pieces: &[u32]) -> Bitfield {
        field(&self.layout, pieces)
    }

    fn all(&self) -> Bitfield {
        Bitfield::all(self.layout.pieces())
    }

    fn joined(&mut self, pieces: &[u32]) {
        self.picker.peer_joined(&field(&self.layout, pieces));
    }

    fn pick(&mut self, slot: u32, pieces: &Bitfield, count: usize) -> Vec<Span> {
        self.pick_as(asker(slot, pieces), count)
    }

    fn pick_as(&mut self, asker: Asker<'_>, count: usize) -> Vec<Span> {
        let mut out = Vec::new();
        self.picker
            .pick(asker, count, &mut self.rng, &mut |_| true, &mut out);
        out
    }

    /// The pieces of what is picked, without repetition.
    fn pick_pieces(&mut self, slot: u32, pieces: &Bitfield, count: usize) -> Vec<u32> {
        pieces_of(&self.pick(slot, pieces, count))
    }

    /// One peer gives a whole piece, which is right.
    fn fetch(&mut self, slot: u32, piece: u32) {
        let only = self.field(&[piece]);
        for span in self.pick(slot, &only, 16) {
            self.picker.landed(peer(slot), span);
        }
        self.picker.verified(self.layout.piece(piece).unwrap());
    }
}

fn field(layout: &Layout, pieces: &[u32]) -> Bitfield {
    let mut field = Bitfield::none(layout.pieces());
    for index in pieces {
        field.set(layout.piece(*index).unwrap());
    }
    field
}

fn asker(slot: u32, pieces: &Bitfield) -> Asker<'_> {
    Asker {
        socket: peer(slot),
        pieces,
        allowed: None,
        suggested: &[],
        alone: false,
    }
}

fn pieces_of(spans: &[Span]) -> Vec<u32> {
    let mut pieces: Vec<u32> = spans.iter().map(|span| span.piece().get()).collect();
    pieces.dedup();
    pieces
}

#[test]
fn blocks_of_a_piece_are_asked_for_in_order() {
    let mut stage = Stage::new(3);
    let all = stage.all();
    let asked = stage.pick(1, &all, 5);
    assert_eq!(
        asked,
        stage.layout.blocks(asked[0].piece()).take(5).collect::<Vec<_>>()
    );
}

#[test]
fn a_piece_in_progress_is_finished_before_another_is_begun() {
    let mut stage = Stage::new(10);
    let all = stage.all();
    let first = stage.pick(1, &all, 10);
    let second = stage.pick(2, &all, 10);
    assert_eq!(pieces_of(&second[..6]), pieces_of(&first));
    assert_ne!(pieces_of(&second[6..]), pieces_of(&first));
}

#[test]
fn the_rarest_piece_is_begun_first() {
    let mut stage = Stage::with(10, 16, &[0, 1, 2, 3], Order::RarestFirst);
    let all = stage.all();
    stage.joined(&[4, 5, 6, 7, 9]);
    stage.joined(&[4, 6, 7, 9]);
    stage.joined(&[4, 7, 8, 9]);
    stage.picker.peer_joined(&all);
    let order = stage.pick_pieces(1, &all, 96);
    assert_eq!((order[2], order.len()), (6, 6));
    assert_eq!([order[0].min(order[1]), order[0].max(order[1])], [5, 8]);
}

#[test]
fn the_first_pieces_are_chosen_at_random() {
    let begun = |seed| {
        let mut stage = Stage::new(1_000);
        stage.rng = Rng::new(seed);
        // One is rarer than all others, and begun no more often.
        stage.joined(&(0..999).collect::<Vec<_>>());
        let all = stage.all();
        stage.picker.peer_joined(&all);
        stage.pick_pieces(1, &all, 16)[0]
    };
    let chosen: std::collections::BTreeSet<u32> = (0..50).map(begun).collect();
    assert!(
        chosen.len() > 40,
        "50 torrents began with {} pieces",
        chosen.len()
    );
}

#[test]
fn sequential_goes_from_the_first_to_the_last() {
    let mut stage = Stage::with(6, 16, &[2], Order::Sequential);
    let all = stage.all();
    assert_eq!(stage.pick_pieces(1, &all, 80), [0, 1, 3, 4, 5]);
}

#[test]
fn a_higher_priority_goes_first_and_skipped_pieces_never() {
    let mut stage = Stage::with(5, 16, &[], Order::Sequential);
    let all = stage.all();
    let wishes = [
        Priority::Low,
        Priority::Normal,
        Priority::Skip,
        Priority::High,
        Priority::High,
    ];
    for (index, priority) in (0..).zip(wishes) {
        stage.picker.set_priority(stage.piece(index), priority);
    }
    assert_eq!(stage.picker.wanted_left(), 4);
    assert_eq!(stage.pick_pieces(1, &all, 1_000), [3, 4, 1, 0]);
}

#[test]
fn what_a_reader_waits_for_goes_before_everything() {
    let mut stage = Stage::with(6, 16, &[], Order::Sequential);
    let all = stage.all();
    let (skipped, later) = (stage.piece(5), stage.piece(3));
    stage.picker.set_priority(skipped, Priority::Skip);
    stage.pick(1, &all, 4);
    stage.picker.set_deadlines(&[skipped, later]);
    assert_eq!(stage.picker.wanted_left(), 6);
    assert_eq!(stage.pick_pieces(2, &all, 33), [5, 3, 0]);
    stage.picker.set_deadlines(&[]);
    assert!(!stage.picker.wants(skipped) && stage.picker.wants(later));
}

#[test]
fn a_peer_that_chokes_is_asked_for_what_it_allows() {
    let mut stage = Stage::new(10);
    let all = stage.all();
    let allowed = [stage.piece(7), stage.piece(2)];
    let choking = Asker {
        allowed: Some(&allowed),
        ..asker(1, &all)
    };
    let mut asked = pieces_of(&stage.pick_as(choking, 100));
    asked.sort_unstable();
    assert_eq!(asked, [2, 7]);
}

#[test]
fn a_suggested_piece_goes_before_others_of_its_priority() {
    let mut stage = Stage::new(10);
    let all = stage.all();
    let suggested = [stage.piece(7), stage.piece(2)];
    stage.picker.set_priority(suggested[0], Priority::Low);
    let suggesting = Asker {
        suggested: &suggested,
        ..asker(1, &all)
    };
    assert_eq!(pieces_of(&stage.pick_as(suggesting, 16)), [2]);
}

#[test]
fn short_pieces_are_begun_beside_each_other() {
    let mut stage = Stage::with(640, 1, &[], Order::RarestFirst);
    let all = stage.all();
    let groups: Vec<u32> = stage
        .pick(1, &all, 48)
        .iter()
        .map(|span| span.piece().get() / 16)
        .collect();
    assert_eq!(
        groups
            .chunk_by(|a, b| a == b)
            .map(<[u32]>::len)
            .collect::<Vec<_>>(),
        [16, 16, 16]
    );
}

#[test]
fn without_room_nothing_is_begun_and_nothing_asked_twice() {
    let mut stage = Stage::new(4);
    let all = stage.all();
    stage.picker.peer_joined(&all);
    stage.pick(1, &all, 16);
    let (mut out, mut asked_for) = (Vec::new(), 0);
    let mut room = |_| {
        asked_for += 1;
        false
    };
    stage
        .picker
        .pick(asker(2, &all), 100, &mut stage.rng, &mut room, &mut out);
    assert_eq!((out, asked_for), (vec![], 1));
}

#[test]
fn near_the_end_a_block_is_asked_of_two_peers_at_most() {
    let mut stage = Stage::with(1, 4, &[], Order::RarestFirst);
    let all = stage.all();
    stage.picker.peer_joined(&all);
    assert!(!stage.picker.is_endgame());
    let first = stage.pick(1, &all, 100);
    assert!(stage.picker.is_endgame());
    assert_eq!(stage.pick(1, &all, 100), []);
    assert_eq!(stage.pick(2, &all, 100), first);
    assert_eq!(stage.pick(3, &all, 100), []);
    let others = vec![peer(1)];
    assert_eq!(stage.picker.landed(peer(2), first[0]), Landed::Taken { others });
    assert_eq!(stage.picker.landed(peer(1), first[0]), Landed::Unasked);
    stage.picker.peer_gone(peer(1));
    assert_eq!(stage.pick(3, &all, 100), first[1..]);
}

#[test]
fn nothing_is_asked_twice_while_a_piece_is_left_for_others() {
    let mut stage = Stage::with(2, 4, &[], Order::RarestFirst);
    let some = stage.field(&[1]);
    stage.joined(&[0]);
    stage.joined(&[1]);
    stage.pick(1, &some, 100);
    assert!(!stage.picker.is_endgame());
    assert_eq!(stage.pick(2, &some, 100), []);
}

#[test]
fn what_nobody_has_does_not_hold_off_the_end() {
    let mut stage = Stage::with(2, 4, &[], Order::RarestFirst);
    let some = stage.field(&[1]);
    stage.joined(&[1]);
    let first = stage.pick(1, &some, 100);
    assert!(stage.picker.is_endgame());
    assert_eq!(stage.pick(2, &some, 100), first);
}

#[test]
fn a_block_is_taken_once_and_only_from_who_was_asked() {
    let mut stage = Stage::with(1, 2, &[], Order::RarestFirst);
    let all = stage.all();
    let blocks = stage.pick(1, &all, 2);
    let half = stage.layout.span(0, 0, BLOCK_LEN / 2).unwrap();
    assert_eq!(stage.picker.landed(peer(2), blocks[0]), Landed::Unasked);
    assert_eq!(stage.picker.landed(peer(1), half), Landed::Unasked);
    assert_eq!(
        stage.picker.landed(peer(1), blocks[0]),
        Landed::Taken { others: vec![] }
    );
    assert_eq!(stage.picker.landed(peer(1), blocks[0]), Landed::Unasked);
    assert_eq!(
        stage.picker.landed(peer(1), blocks[1]),
        Landed::Complete { others: vec![] }
    );
    stage.picker.verified(blocks[0].piece());
    assert_eq!(stage.picker.wanted_left(), 0);
    assert_eq!(stage.pick(1, &all, 2), []);
}

#[test]
fn what_a_peer_abandons_is_asked_of_others() {
    let mut stage = Stage::new(10);
    let all = stage.all();
    let asked = stage.pick(1, &all, 16);
    stage.picker.abandoned(peer(1), asked[3]);
    stage.picker.abandoned(peer(1), asked[3]);
    assert_eq!(stage.pick(2, &all, 1), [asked[3]]);
    stage.picker.peer_gone(peer(1));
    let again = stage.pick(2, &all, 15);
    assert_eq!(again, [&asked[..3], &asked[4..]].concat());
}

#[test]
fn a_piece_that_failed_is_given_to_one_peer_alone() {
    let mut stage = Stage::with(3, 4, &[], Order::RarestFirst);
    let all = stage.all();
    let mut sent = Vec::new();
    for (slot, count) in [(1, 2), (2, 2)] {
        for span in stage.pick(slot, &all, count) {
            stage.picker.landed(peer(slot), span);
            sent.push((span, peer(slot)));
        }
    }
    let piece = sent[0].0.piece();
    assert_eq!(stage.picker.failed(piece), sent);
    assert_eq!(pieces_of(&stage.pick(2, &all, 1)), [piece.get()]);
    assert_ne!(stage.pick(1, &all, 1)[0].piece(), piece);
    assert_eq!(stage.pick(2, &all, 3).len(), 3);
}

#[test]
fn a_piece_of_one_peer_is_free_again_when_nothing_is_asked_of_it() {
    let mut stage = Stage::with(1, 4, &[], Order::RarestFirst);
    let all = stage.all();
    let blocks: Vec<Span> = stage.layout.blocks(stage.piece(0)).collect();
    stage.picker.failed(blocks[0].piece());
    assert_eq!(stage.pick(1, &all, 2), blocks[..2]);
    assert_eq!(stage.pick(2, &all, 2), []);
    stage.picker.landed(peer(1), blocks[0]);
    stage.picker.peer_gone(peer(1));
    assert_eq!(stage.pick(2, &all, 1), [blocks[1]]);
    assert_eq!(stage.pick(3, &all, 4), []);
}

#[test]
fn a_peer_under_suspicion_gets_pieces_for_itself() {
    let mut stage = Stage::with(2, 4, &[], Order::Sequential);
    let all = stage.all();
    let suspect = Asker {
        alone: true,
        ..asker(1, &all)
    };
    stage.pick(2, &all, 2);
    assert_eq!(pieces_of(&stage.pick_as(suspect, 2)), [1]);
    assert_eq!(pieces_of(&stage.pick(2, &all, 10)), [0]);
    // Nothing is left for it while another is at work; what that one leaves behind is.
    assert_eq!(stage.pick_as(suspect, 10).len(), 2);
    stage.picker.peer_gone(peer(2));
    assert_eq!(pieces_of(&stage.pick_as(suspect, 10)), [0]);
}

#[test]
fn who_has_what_is_counted() {
    let mut stage = Stage::new(100);
    let (all, piece) = (stage.all(), stage.piece(3));
    stage.picker.peer_joined(&all);
    stage.joined(&[1, 3]);
    stage.picker.peer_has(piece);
    assert_eq!(stage.picker.availability(piece), 3);
    stage.picker.peer_left(&all);
    assert_eq!(stage.picker.availability(piece), 2);
}

#[test]
fn more_peers_than_rarities_come_and_go() {
    let mut stage = Stage::with(3, 16, &[], Order::RarestFirst);
    (0..100).for_each(|_| stage.joined(&[0, 1]));
    (0..70).for_each(|_| stage.joined(&[1, 2]));
    let some = stage.field(&[0, 1]);
    (0..90).for_each(|_| stage.picker.peer_left(&some));
    let counts: Vec<u32> = (0..3)
        .map(|index| stage.picker.availability(stage.piece(index)))
        .collect();
    assert_eq!(counts, [10, 80, 70]);
    for piece in [0, 1, 2, 2] {
        stage.picker.lost(stage.piece(piece));
    }
    (0..10).for_each(|_| stage.picker.peer_left(&some));
    let others = stage.field(&[1, 2]);
    (0..70).for_each(|_| stage.picker.peer_left(&others));
    let all = stage.all();
    assert_eq!(stage.pick_pieces(1, &all, 1_000).len(), 3);
}

#[test]
fn a_peer_that_came_with_a_part_may_leave_with_everything() {
    let mut stage = Stage::new(10);
    let all = stage.all();
    stage.joined(&[0, 1, 2, 3, 4]);
    (5..10).for_each(|index| stage.picker.peer_has(stage.layout.piece(index).unwrap()));
    stage.joined(&[7]);
    stage.picker.peer_left(&all);
    let counts: Vec<u32> = (0..10)
        .map(|index| stage.picker.availability(stage.piece(index)))
        .collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(stage.pick_pieces(1, &all, 1_000).len(), 10);
}

#[test]
fn interest_is_in_what_is_wanted_and_not_had() {
    let mut stage = Stage::with(200, 16, &[0, 70], Order::RarestFirst);
    stage.picker.set_priority(stage.piece(199), Priority::Skip);
    let theirs = stage.field(&[0, 1, 70, 71, 199]);
    assert_eq!(stage.picker.interesting_in(&theirs), 2);
    assert_eq!(stage.picker.interesting_in(&stage.all()), 197);
    stage.fetch(1, 71);
    assert_eq!(stage.picker.interesting_in(&theirs), 1);
    stage.picker.lost(stage.piece(0));
    assert_eq!(stage.picker.interesting_in(&theirs), 2);
}
