use std::collections::BTreeSet;
use std::time::Duration;

use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout, Span};
use shoal_world::Time;

use super::{Download, Incoming, Rate};
use crate::limits::{
    HINTS_MAX, PIPELINE_BLOCKS_DEFAULT, PIPELINE_BLOCKS_MAX, PIPELINE_BLOCKS_MIN, SNUBBED_AFTER, UNASKED_MAX,
};

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn block(number: u32) -> Span {
    let file = FileLength {
        len: 1 << 30,
        padding: false,
    };
    let layout = Layout::new(1 << 20, [file]).unwrap();
    layout
        .span(number / 64, number % 64 * BLOCK_LEN, BLOCK_LEN)
        .unwrap()
}

fn came(block: Span) -> Incoming {
    Incoming {
        block,
        len: block.len(),
        wanted: true,
        given_up: false,
    }
}

/// A peer that is asked for whatever fits, and delivers so many blocks a second after a round trip.
fn pipeline_after(seconds: u64, blocks_per_s: u64) -> usize {
    let mut download = Download::new(1024, Time::ZERO);
    download.set_requests_max(u32::MAX);
    let mut next = 0;
    for number in 0..seconds * blocks_per_s {
        let now = at(number * 1_000 / blocks_per_s);
        for _ in 0..download.room(now) {
            download.ask(now, block(next));
            next += 1;
        }
        let oldest = download.asked[0].block;
        download.heard(now, came(oldest));
        download.count(now, BLOCK_LEN.into());
    }
    download.pipeline(at(seconds * 1_000))
}

#[test]
fn a_pipeline_grows_to_what_the_peer_delivers_in_a_second() {
    assert_eq!(
        pipeline_after(1, 4),
        PIPELINE_BLOCKS_MIN + 4,
        "by a block for every block"
    );
    assert_eq!(pipeline_after(20, 2), PIPELINE_BLOCKS_MIN, "never less");
    let fast = pipeline_after(20, 500);
    assert!((450..=550).contains(&fast), "{fast} blocks at 500 a second");
}

#[test]
fn what_a_peer_queues_bounds_its_pipeline() {
    let mut download = Download::new(1, Time::ZERO);
    for number in 0..1_000 {
        download.heard(Time::ZERO, came(block(number)));
    }
    assert_eq!(download.pipeline(Time::ZERO), PIPELINE_BLOCKS_DEFAULT);
    for (says, takes) in [(0, 1), (5, 5), (300, 300)] {
        download.set_requests_max(says);
        assert_eq!(download.pipeline(Time::ZERO), takes);
    }
    download.set_requests_max(u32::MAX);
    assert!(download.pipeline(Time::ZERO) <= PIPELINE_BLOCKS_MAX);
}

#[test]
fn requests_go_out_many_at_a_time() {
    let mut download = Download::new(1, Time::ZERO);
    assert_eq!(download.room(Time::ZERO), 16);
    (0..16).for_each(|number| download.ask(Time::ZERO, block(number)));
    for (heard, room) in [(0, 0), (1, 0), (2, 0), (3, 0)] {
        assert_eq!(download.room(Time::ZERO), room, "{heard} came");
        download.forget(block(heard));
    }
    assert_eq!(download.room(Time::ZERO), 4, "a quarter is empty");
}

#[test]
fn a_peer_is_late_when_nothing_came_for_a_while_although_it_was_asked() {
    let mut download = Download::new(1, Time::ZERO);
    let late = Time::ZERO + SNUBBED_AFTER;
    assert!(!download.is_overdue(late), "it was not asked");
    download.ask(at(5_000), block(0));
    assert!(!download.is_overdue(late), "time counts from the request");
    download.ask(at(9_000), block(1));
    assert!(
        download.is_overdue(at(5_000) + SNUBBED_AFTER),
        "from the first one"
    );
    download.heard(at(10_000), came(block(0)));
    assert!(!download.is_overdue(at(5_000) + SNUBBED_AFTER));
}

#[test]
fn a_block_that_is_given_up_while_it_arrives_keeps_its_place_and_answers_nothing() {
    let mut download = Download::new(1, Time::ZERO);
    download.set_requests_max(1);
    download.ask(Time::ZERO, block(3));
    download.incoming = Some(came(block(3)));
    assert_eq!(download.give_up_incoming(), Some(block(3)));
    assert_eq!(download.give_up_incoming(), None, "once");
    assert_eq!(download.room(at(1)), 0, "the peer is still busy with it");
    let tail = download.incoming.take().unwrap();
    assert_eq!(download.room(at(2)), 1);
    download.ask(at(2), block(3));
    download.heard(at(3), tail);
    assert_eq!(download.asked.len(), 1, "the second request is not answered");
}

#[test]
fn what_is_taken_back_leaves_the_block_that_is_arriving_and_may_still_come() {
    let mut download = Download::new(1, Time::ZERO);
    (0..16).for_each(|number| download.ask(Time::ZERO, block(number)));
    download.incoming = Some(Incoming {
        len: 7,
        ..came(block(3))
    });
    let gone = download.take_back(|_| true);
    assert_eq!(gone.len(), 15);
    assert!(!gone.contains(&block(3)));
    assert_eq!(download.asked.len(), 1);
    let tolerated = (0..1_000).take_while(|_| download.tolerates_unasked()).count();
    assert_eq!(tolerated, UNASKED_MAX as usize - 1 + 15);
}

#[test]
fn hints_are_noted_once_and_have_a_maximum() {
    let file = FileLength {
        len: 1_000 * 16_384,
        padding: false,
    };
    let layout = Layout::new(16_384, [file]).unwrap();
    let mut hints = Vec::new();
    for piece in layout.piece_indices().chain(layout.piece_indices()) {
        Download::note_hint(&mut hints, piece);
    }
    assert_eq!(hints.len(), HINTS_MAX);
    let different: BTreeSet<_> = hints.iter().collect();
    assert_eq!(different.len(), HINTS_MAX);
}

#[test]
fn a_rate_is_that_of_the_last_whole_second_and_ends_with_the_traffic() {
    let mut rate = Rate::default();
    for ms in (0..=5_000).step_by(10) {
        rate.add(at(ms), 1_000);
    }
    let shown = rate.bytes_per_s(at(5_000));
    assert!((99_000..=101_000).contains(&shown), "{shown} bytes a second");
    assert_eq!(rate.bytes_per_s(at(9_000)), 0);
}
