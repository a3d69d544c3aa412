//! Messages that are hashed elsewhere.

use sha1::{Digest, Sha1};
use shoal_world::{Completion, EXTENT_LEN, Extent, Op, Part};

use crate::on_both_worlds;
use crate::stage::{Stage, bytes};

on_both_worlds! {
    a_message_is_hashed_across_extents,
    every_message_is_hashed_once,
}

fn part(extent: u32, start: u32, len: u32) -> Part {
    Part::Extent {
        extent: Extent(extent),
        start,
        len,
    }
}

fn a_message_is_hashed_across_extents(stage: &mut Stage) {
    let content = bytes(3 * EXTENT_LEN as usize);
    stage.load(&content);
    let extent = EXTENT_LEN as usize;
    let message = [
        &content[extent + 1..2 * extent],
        &content[..100],
        &content[2 * extent..],
    ]
    .concat();
    let parts = vec![
        part(1, 1, EXTENT_LEN - 1),
        part(0, 0, 100),
        part(2, 0, EXTENT_LEN),
    ];
    stage.ask(Op::Hash { token: 5, parts });
    let Completion::Hashed { token: 5, digest } = stage.next() else {
        panic!("not a digest");
    };
    assert_eq!(digest, <[u8; 20]>::from(Sha1::digest(message)));
    stage.assert_quiet();
}

fn every_message_is_hashed_once(stage: &mut Stage) {
    const MESSAGES: u32 = 600;
    let content = bytes(EXTENT_LEN as usize);
    stage.load(&content);
    for token in 0..MESSAGES {
        let parts = vec![part(0, token, 2 * token)];
        stage.ask(Op::Hash { token, parts });
    }
    let mut seen = vec![false; MESSAGES as usize];
    for _ in 0..MESSAGES {
        let Completion::Hashed { token, digest } = stage.next() else {
            panic!("not a digest");
        };
        let message = &content[token as usize..3 * token as usize];
        assert_eq!(digest, <[u8; 20]>::from(Sha1::digest(message)), "{token}");
        assert!(
            !std::mem::replace(&mut seen[token as usize], true),
            "{token} twice"
        );
    }
    stage.assert_quiet();
}
