use super::{Begun, Deed, run};
use crate::state::{Saved, Store};
use crate::torrent::{Shared, TorrentEvent};
use crossbeam::channel;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::metainfo::{Content, Metainfo, MetainfoBuilder};
use shoal_world::FileStamp;
use std::sync::Arc;

const PIECES: u32 = 3;

const STAMP: FileStamp = FileStamp {
    device: 1,
    inode: 2,
    size: 3,
    modified_ns: 4,
    changed_ns: 5,
    links: 1,
    mode: 0o100_644,
    uid: 0,
    gid: 0,
};

fn metainfo() -> Arc<Metainfo> {
    let content = Content::File {
        len: u64::from(PIECES) * 16_384,
        attributes: Default::default(),
    };
    let hashes = [Digest::Sha1([0; 20]); PIECES as usize];
    let builder = MetainfoBuilder::new("T", content, 16_384);
    Arc::new(builder.build(&hashes).expect("a torrent").metainfo)
}

/// What is in the state, and what an owner heard, after a torrent of which piece 0 was there heard these deeds.
fn after(deeds: impl FnOnce(&Metainfo) -> Vec<Deed>) -> (Saved, Vec<TorrentEvent>) {
    after_lives(|metainfo| vec![deeds(metainfo)])
}

/// The same when it was added several times, each time with that state.
fn after_lives(lives: impl FnOnce(&Metainfo) -> Vec<Vec<Deed>>) -> (Saved, Vec<TorrentEvent>) {
    let metainfo = metainfo();
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(Store::open(&directory.path().join("state")).expect("a state"));
    let mut pieces = Bitfield::none(PIECES);
    pieces.set(metainfo.layout().piece(0).expect("a piece"));
    let shared = Arc::new(Shared::new(
        Arc::clone(&metainfo),
        Vec::new(),
        None,
        pieces.clone(),
    ));
    let begun = || Begun {
        shared: Arc::clone(&shared),
        store: Arc::clone(&store),
        saved: Saved {
            pieces: pieces.clone(),
            stamps: vec![None],
            priorities: vec![4],
            uploaded_bytes: 10,
            downloaded_bytes: 20,
            complete: false,
        },
        uploaded_before: 10,
        downloaded_before: 20,
        changed: true,
        finished: None,
        lost: false,
        ended: false,
    };
    let (tells, hears) = channel::unbounded();
    for deeds in lives(&metainfo) {
        let first = Deed::Begun(Box::new(begun()));
        for deed in std::iter::once(first).chain(deeds) {
            tells.send(deed).expect("it is heard");
        }
    }
    drop(tells);
    run(&hears);
    let saved = store.load(&metainfo.info_hash()).expect("a state");
    (
        saved.expect("a record"),
        shared.news.receiver().try_iter().collect(),
    )
}

fn durable(metainfo: &Metainfo, piece: u32) -> Deed {
    let (index, _) = metainfo.layout().files().next().expect("a file");
    Deed::Durable {
        info_hash: metainfo.info_hash(),
        pieces: vec![metainfo.layout().piece(piece).expect("a piece")],
        stamps: vec![(index, STAMP)],
        downloaded_bytes: 5,
        uploaded_bytes: 7,
    }
}

#[test]
fn what_became_durable_is_added_to_what_was_known() {
    let (saved, events) = after(|metainfo| vec![durable(metainfo, 2)]);
    let pieces: Vec<u32> = saved.pieces.present().map(|piece| piece.get()).collect();
    assert_eq!(pieces, [0, 2]);
    assert_eq!(saved.stamps, [Some(STAMP)]);
    assert_eq!(
        (saved.uploaded_bytes, saved.downloaded_bytes),
        (17, 25),
        "of all lives"
    );
    assert!(!saved.complete);
    assert_eq!(events, []);
}

#[test]
fn an_owner_hears_once_that_it_is_finished_and_the_state_knows_it() {
    let (saved, events) = after(|metainfo| {
        let finished = || Deed::Finished(metainfo.info_hash(), 0);
        vec![durable(metainfo, 1), durable(metainfo, 2), finished()]
    });
    assert!(saved.complete);
    assert_eq!(events, [TorrentEvent::Finished]);
}

#[test]
fn what_is_told_of_a_torrent_before_it_ends_is_saved() {
    let (saved, events) = after(|metainfo| {
        let info_hash = metainfo.info_hash();
        vec![
            durable(metainfo, 1),
            Deed::Finished(info_hash, 0),
            Deed::Ended(info_hash),
        ]
    });
    assert_eq!(saved.pieces.count(), 2);
    assert_eq!(events, [TorrentEvent::Finished]);
}

/// All of it waits to be heard at once while another torrent's state is written.
#[test]
fn what_is_added_again_is_another_life() {
    let (saved, events) = after_lives(|metainfo| {
        let info_hash = metainfo.info_hash();
        vec![
            vec![durable(metainfo, 1), Deed::Ended(info_hash)],
            vec![durable(metainfo, 2), Deed::Finished(info_hash, 0)],
        ]
    });
    let pieces: Vec<u32> = saved.pieces.present().map(|piece| piece.get()).collect();
    assert_eq!(pieces, [0, 2], "what the second began with and what came");
    assert!(saved.complete);
    assert_eq!(events, [TorrentEvent::Finished]);
}
