//! The thread that remembers what became durable.
//!
//! Cores tell which pieces are on disk; here it is merged and written to the durable state, all that gathered since the
//! last time in one transaction. What follows from it for an owner (a torrent is finished) waits until it is written.
//! A piece is never claimed before its core said that its bytes are durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam::channel::Receiver;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_world::FileStamp;

use crate::state::{Saved, Store};
use crate::torrent::{Shared, TorrentEvent};

/// What the saver is told.
pub(crate) enum Deed {
    /// A torrent is fetched from now on.
    Begun(Box<Begun>),
    /// Pieces became durable.
    Durable {
        info_hash: InfoHash,
        pieces: Vec<PieceIndex>,
        stamps: Vec<(FileIndex, FileStamp)>,
        downloaded_bytes: u64,
        uploaded_bytes: u64,
    },
    /// Everything wanted is.
    Finished(InfoHash),
    /// Nothing more will be told of a torrent.
    Ended(InfoHash),
}

/// A torrent as the saver knows it.
pub(crate) struct Begun {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Arc<Store>,
    pub(crate) saved: Saved,
    /// Totals of earlier lives.
    pub(crate) uploaded_before: u64,
    pub(crate) downloaded_before: u64,
    /// It differs from what is written.
    pub(crate) changed: bool,
    /// To be told when it is written.
    pub(crate) finished: bool,
}

/// Ends when nobody can tell anything any more.
pub(crate) fn run(hears: &Receiver<Deed>) {
    let mut torrents: BTreeMap<InfoHash, Begun> = BTreeMap::new();
    while let Ok(first) = hears.recv() {
        let mut ended = Vec::new();
        for deed in std::iter::once(first).chain(hears.try_iter()) {
            note(&mut torrents, deed, &mut ended);
        }
        save(&mut torrents);
        for info_hash in ended {
            torrents.remove(&info_hash);
        }
    }
}

fn note(torrents: &mut BTreeMap<InfoHash, Begun>, deed: Deed, ended: &mut Vec<InfoHash>) {
    match deed {
        Deed::Begun(begun) => {
            torrents.insert(begun.shared.metainfo.info_hash(), *begun);
        }
        Deed::Durable {
            info_hash,
            pieces,
            stamps,
            downloaded_bytes,
            uploaded_bytes,
        } => {
            let Some(torrent) = torrents.get_mut(&info_hash) else {
                return;
            };
            for piece in pieces {
                torrent.saved.pieces.set(piece);
            }
            for (file, stamp) in stamps {
                torrent.saved.stamps[file.index()] = Some(stamp);
            }
            torrent.saved.downloaded_bytes = torrent.downloaded_before + downloaded_bytes;
            torrent.saved.uploaded_bytes = torrent.uploaded_before + uploaded_bytes;
            torrent.changed = true;
        }
        Deed::Finished(info_hash) => {
            if let Some(torrent) = torrents.get_mut(&info_hash) {
                torrent.saved.complete = true;
                torrent.changed = true;
                torrent.finished = true;
            }
        }
        Deed::Ended(info_hash) => ended.push(info_hash),
    }
}

/// Writes what changed, one transaction for each store.
fn save(torrents: &mut BTreeMap<InfoHash, Begun>) {
    while let Some(store) = torrents
        .values()
        .find(|torrent| torrent.changed)
        .map(|torrent| Arc::clone(&torrent.store))
    {
        let ours = |torrent: &Begun| torrent.changed && Arc::ptr_eq(&torrent.store, &store);
        let batch: Vec<(InfoHash, Saved)> = torrents
            .iter()
            .filter(|(_, torrent)| ours(torrent))
            .map(|(info_hash, torrent)| (*info_hash, torrent.saved.clone()))
            .collect();
        let result = store.save(&batch);
        for (info_hash, _) in batch {
            let Some(torrent) = torrents.get_mut(&info_hash) else {
                continue;
            };
            torrent.changed = false;
            if let Err(error) = &result {
                torrent.shared.tell(TorrentEvent::StateLost(error.to_string()));
            }
            if std::mem::take(&mut torrent.finished) {
                torrent.shared.tell(TorrentEvent::Finished);
            }
        }
    }
}
