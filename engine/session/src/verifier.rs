//! The thread that verifies torrents again of which a file may have been written to.
//!
//! A core that finds a file touched for no visible reason suspends the torrent and asks; here its pieces are hashed again,
//! and the core is told that all is as it was, or which file is not. One torrent after the other: disks like that
//! better, and what is suspended waits either way.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::Receiver;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::FileIndex;
use shoal_shard::Command;

use crate::check::{Settled, check_settled};
use crate::news::News;
use crate::session::{Catalogue, Core, Event, core_of, lock};
use crate::torrent::Shared;

/// What it needs of the session.
pub(crate) struct Verifier {
    /// Torrents, each with the file that made it suspect.
    pub(crate) suspects: Receiver<(InfoHash, FileIndex)>,
    pub(crate) news: News<Event>,
    pub(crate) cores: Vec<Core>,
    pub(crate) catalogue: Catalogue,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) scan: shoal_uring::scan::Options,
}

impl Verifier {
    /// Ends when the control thread has.
    pub(crate) fn run(self) {
        for (info_hash, file) in &self.suspects {
            let shared = lock(&self.catalogue).get(&info_hash).cloned();
            let Some(shared) = shared else {
                continue;
            };
            let Some(command) = self.verify(&shared, file) else {
                return;
            };
            if let Command::TorrentVerified { .. } = command {
                let name = shared.metainfo.name().to_owned();
                let path = shared.paths[file.index()].clone();
                self.news.tell(Event::FileVerified {
                    info_hash,
                    name,
                    path,
                });
            }
            // A core that is gone told so itself.
            let _ = core_of(&self.cores, &info_hash).command(command);
        }
    }

    /// What the shard is to do about a torrent. `None`: the session stops.
    fn verify(&self, shared: &Shared, file: FileIndex) -> Option<Command> {
        let info_hash = shared.metainfo.info_hash();
        let watch = |_done: u64| match self.stopping.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        // What was fetched since it was added counts as well.
        let settled = Settled::of(&shared.metainfo, &shared.have());
        let findings = check_settled(&shared.metainfo, &shared.paths, &settled, &self.scan, &watch).ok()?;
        let lost = settled.pieces.present().any(|piece| !findings.have.has(piece));
        Some(if lost {
            Command::FileRefuted { info_hash, file }
        } else {
            Command::TorrentVerified {
                info_hash,
                stamps: findings.stamps(),
            }
        })
    }
}
