use shoal_proto::layout::{FileLength, Layout, PieceIndex};

use super::Suggestions;

const PIECES: u32 = 5;

fn layout() -> Layout {
    let len = u64::from(PIECES) * 16_384;
    Layout::new(16_384, [FileLength { len, padding: false }]).unwrap()
}

fn piece(index: u32) -> PieceIndex {
    layout().piece(index).unwrap()
}

/// All that is proposed from here on.
fn rest(suggestions: &mut Suggestions) -> Vec<u32> {
    let next = || suggestions.next(&layout()).map(|piece| piece.get());
    std::iter::from_fn(next).collect()
}

#[test]
fn every_piece_is_proposed_once() {
    let mut suggestions = Suggestions::new(PIECES);
    assert_eq!(rest(&mut suggestions), [0, 1, 2, 3, 4]);
    assert_eq!(rest(&mut suggestions), []);
}

#[test]
fn what_was_asked_for_needs_no_proposal() {
    let mut suggestions = Suggestions::new(PIECES);
    suggestions.asked(piece(1));
    suggestions.asked(piece(3));
    assert_eq!(rest(&mut suggestions), [0, 2, 4]);
}

#[test]
fn what_was_returned_comes_when_the_search_is_round() {
    let mut suggestions = Suggestions::new(PIECES);
    for _ in 0..3 {
        suggestions.next(&layout());
    }
    suggestions.returned(piece(1));
    assert_eq!(rest(&mut suggestions), [3, 4, 1]);
    suggestions.returned(piece(0));
    assert_eq!(rest(&mut suggestions), [0]);
}
