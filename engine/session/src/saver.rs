//! The thread that remembers what became durable.
//!
//! Cores tell which pieces are on disk; here it is merged and written to the durable state, all that gathered since the
//! last time in one transaction. What follows from it for an owner (a torrent is finished) waits until it is written.
//! A piece is never claimed before its core said that its bytes are durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileIndex, PieceIndex};
use shoal_world::FileStamp;

use crate::state::{Saved, Store};
use crate::torrent::{Shared, TorrentEvent};

/// How often it is tried again to write what could not be written.
const SAVE_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
    /// Everything wanted is, in view of the wish of this number.
    Finished(InfoHash, u64),
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
    /// To be told when it is written: finished in view of the wish of this number.
    pub(crate) finished: Option<u64>,
    /// It was told that it cannot be written.
    pub(crate) lost: bool,
    /// Nothing more will be told of it: it goes when it is written. If it is added again, that is another life.
    pub(crate) ended: bool,
}

/// Ends when nobody can tell anything any more.
pub(crate) fn run(hears: &Receiver<Deed>) {
    let mut torrents: BTreeMap<InfoHash, Begun> = BTreeMap::new();
    loop {
        let unsaved = torrents.values().any(|torrent| torrent.changed);
        let first = match hears.recv_timeout(if unsaved { SAVE_AGAIN_AFTER } else { Duration::MAX }) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for deed in first.into_iter().chain(hears.try_iter()) {
            note(&mut torrents, deed);
        }
        save(&mut torrents);
        torrents.retain(|_, torrent| !torrent.ended || torrent.changed);
    }
}

fn note(torrents: &mut BTreeMap<InfoHash, Begun>, deed: Deed) {
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
        Deed::Finished(info_hash, wish) => {
            if let Some(torrent) = torrents.get_mut(&info_hash) {
                torrent.saved.complete = true;
                torrent.changed = true;
                torrent.finished = Some(wish);
            }
        }
        Deed::Ended(info_hash) => {
            if let Some(torrent) = torrents.get_mut(&info_hash) {
                torrent.ended = true;
            }
        }
    }
}

/// Writes what changed, one transaction for each store. What cannot be written is tried again.
fn save(torrents: &mut BTreeMap<InfoHash, Begun>) {
    let mut stores: Vec<Arc<Store>> = Vec::new();
    for torrent in torrents.values().filter(|torrent| torrent.changed) {
        if !stores.iter().any(|store| Arc::ptr_eq(store, &torrent.store)) {
            stores.push(Arc::clone(&torrent.store));
        }
    }
    for store in stores {
        let mut ours: Vec<(InfoHash, &mut Begun)> = torrents
            .iter_mut()
            .filter(|(_, torrent)| torrent.changed && Arc::ptr_eq(&torrent.store, &store))
            .map(|(info_hash, torrent)| (*info_hash, torrent))
            .collect();
        let batch: Vec<(InfoHash, Saved)> = ours
            .iter()
            .map(|(info_hash, torrent)| (*info_hash, torrent.saved.clone()))
            .collect();
        let result = store.save(&batch);
        for (_, torrent) in &mut ours {
            torrent.saved_or_not(result.as_ref().err().map(ToString::to_string));
        }
    }
}

impl Begun {
    /// It was written, or not, and why.
    fn saved_or_not(&mut self, error: Option<String>) {
        let Some(error) = error else {
            self.changed = false;
            self.lost = false;
            if let Some(wish) = self.finished.take() {
                self.shared.finished(wish);
            }
            return;
        };
        if !std::mem::replace(&mut self.lost, true) {
            self.shared.tell(TorrentEvent::StateLost(error));
        }
    }
}

#[cfg(test)]
mod tests;
