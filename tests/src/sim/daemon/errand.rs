//! A daemon that fetches: what its owner remembers, and what it holds the shard to.
//!
//! The owner does what a session does: it remembers the pieces that it was told are durable, and after a crash or a failed
//! sync begins again with those. It looks at the disk at every claim: a piece that was written can be read, one that is
//! durable would survive a crash, at any moment.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use shoal_proto::digest::Digest;
use shoal_proto::info_hash::InfoHash;
use shoal_shard::{Command, Event as ShardEvent, Fetch, Order, Priority};
use shoal_world::Time;

use super::super::Commons;
use super::super::disk::{Content, Disk};
use super::super::torrent::Torrent;
use super::{Daemon, seeding};

/// What a daemon is sent to fetch.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Whom it knows.
    pub peers: Vec<SocketAddr>,
    /// In which order it begins pieces.
    pub order: Order,
}

/// How far a torrent is fetched.
#[derive(Debug)]
pub(super) struct Progress {
    /// Pieces that were said to be durable.
    claimed: Vec<bool>,
    finished_at: Option<Time>,
    /// When a piece was written last.
    pub(super) gained_at: Time,
    /// Longest time between two of them.
    pub(super) gap_max: Duration,
}

impl Progress {
    pub(super) fn new(torrent: &Torrent) -> Progress {
        Progress {
            claimed: vec![false; torrent.pieces() as usize],
            finished_at: None,
            gained_at: Time::ZERO,
            gap_max: Duration::ZERO,
        }
    }
}

impl Errand {
    /// The files as a session makes them before anything is fetched: of full length, and of nothing.
    pub(super) fn make_files(disk: &mut Disk, torrent: &Torrent) {
        for file in torrent.files.iter().filter(|file| !file.padding) {
            disk.put(Time::ZERO, &file.path, Content::Zeroes, file.len);
        }
    }
}

impl Daemon {
    /// Whether it fetches.
    pub fn fetches(&self) -> bool {
        self.options.errand.is_some()
    }

    /// Bytes of pieces that it wrote in this life.
    pub fn written_bytes(&self) -> u64 {
        self.counters()
            .iter()
            .map(|counters| counters.written_bytes)
            .sum()
    }

    /// Whether everything is there and durable.
    pub fn has_finished(&self) -> bool {
        self.progress
            .iter()
            .all(|progress| progress.finished_at.is_some())
    }

    /// When that was so, of the last torrent.
    pub fn finished_at(&self) -> Option<Time> {
        let all: Option<Vec<Time>> = self
            .progress
            .iter()
            .map(|progress| progress.finished_at)
            .collect();
        all?.into_iter().max()
    }

    /// The longest time in which it got no piece while pieces were missing.
    pub fn longest_wait(&self) -> Duration {
        let waits = self.progress.iter().map(|progress| progress.gap_max);
        waits.max().unwrap_or_default()
    }

    /// Whom it banned.
    pub fn banned(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.banned.iter().copied()
    }

    /// Panics if pieces were wrong in an undisturbed life and nobody was found to have lied.
    pub fn assert_liar_found(&self) {
        let failed: u64 = self
            .counters()
            .iter()
            .map(|counters| counters.failed_pieces)
            .sum();
        let undisturbed = self.life == 1 && self.failures.is_empty();
        assert!(
            failed == 0 || !undisturbed || !self.banned.is_empty(),
            "{failed} pieces were wrong, and nobody was banned by {}",
            self.options.address
        );
    }

    /// Super-seeds its torrents (BEP 16).
    pub fn super_seed(&mut self, commons: &mut Commons) {
        for torrent in 0..self.torrents.len() {
            let info_hash = InfoHash::V1(self.torrents[torrent].info_hash);
            let owner = self.owner_of(torrent);
            let on = true;
            self.command(commons, owner, Command::SuperSeed { info_hash, on });
        }
    }

    /// What it misses, for people.
    pub fn describe_progress(&self) -> String {
        let missing = self.has.iter().map(|has| has.iter().filter(|has| !**has).count());
        let report = self.cores.iter().map(|core| core.shard.report());
        format!(
            "{} misses {:?} pieces, {} {:?}, {:?}",
            self.options.address,
            missing.collect::<Vec<_>>(),
            if self.is_up() { "up" } else { "down" },
            self.standing,
            report.collect::<Vec<_>>()
        )
    }

    /// Begins, or goes on with what is durable.
    pub(super) fn resume(&mut self, commons: &mut Commons, torrent: usize) {
        let parts = self.torrents[torrent].clone();
        let Some(errand) = self.options.errand.clone() else {
            return;
        };
        let claimed = &self.progress[torrent].claimed;
        for piece in (0..parts.pieces()).filter(|piece| claimed[*piece as usize]) {
            self.assert_holds(commons, &parts, piece, false);
        }
        self.has[torrent].clone_from(claimed);
        let (ip, has) = (self.options.address.ip(), &self.has[torrent]);
        commons.manners.possesses(ip, &parts, has);
        let mut seeding = seeding(&parts, has, &commons.disks[self.options.disk]);
        let complete = has.iter().all(|has| *has);
        if !complete {
            let hashes: Vec<Digest> = parts.hashes().iter().map(|hash| Digest::Sha1(*hash)).collect();
            seeding.fetch = Some(Fetch {
                hashes: hashes.into(),
                priorities: vec![Priority::Normal; parts.files.len()],
                order: errand.order,
            });
        }
        let info_hash = seeding.info_hash;
        self.add(commons, torrent, seeding);
        let addresses = errand.peers;
        let owner = self.owner_of(torrent);
        self.command(commons, owner, Command::Connect { info_hash, addresses });
    }

    /// Something that only who fetches is told.
    pub(super) fn fetched(&mut self, commons: &mut Commons, event: ShardEvent) {
        assert!(
            self.options.errand.is_some(),
            "a daemon that only seeds fetched: {event:?}"
        );
        let now = commons.clock.now();
        let ip = self.options.address.ip();
        match event {
            ShardEvent::PieceWritten { info_hash, piece } => {
                let number = self.number_of(info_hash);
                let torrent = self.torrents[number].clone();
                self.assert_holds(commons, &torrent, piece.get(), false);
                self.has[number][piece.index()] = true;
                commons.manners.gains(now, ip, &torrent, piece.get());
                commons.taps.gains(ip, &torrent, piece.get());
                let progress = &mut self.progress[number];
                progress.gap_max = progress.gap_max.max(now.since(progress.gained_at));
                progress.gained_at = now;
            }
            ShardEvent::PiecesDurable {
                info_hash, pieces, ..
            } => {
                let number = self.number_of(info_hash);
                let torrent = self.torrents[number].clone();
                for piece in pieces {
                    assert!(
                        self.has[number][piece.index()],
                        "{piece:?} is durable and not there"
                    );
                    self.assert_holds(commons, &torrent, piece.get(), true);
                    self.progress[number].claimed[piece.index()] = true;
                }
            }
            ShardEvent::TorrentFinished { info_hash, .. } => {
                let number = self.number_of(info_hash);
                let progress = &mut self.progress[number];
                let complete = progress.claimed.iter().all(|claimed| *claimed);
                assert!(
                    complete,
                    "a torrent is finished of which not everything is durable"
                );
                progress.finished_at.get_or_insert(now);
            }
            ShardEvent::TorrentPaused { failure, .. } => {
                let refusals = commons.disks[self.options.disk].refusals();
                assert!(refusals > 0, "a torrent was paused for nothing: {failure}");
            }
            ShardEvent::TorrentResumed { .. } => {}
            ShardEvent::PeerBanned { address, .. } => {
                assert!(
                    commons.manners.is_liar(address.ip()),
                    "{address} was banned and never lied"
                );
                self.banned.insert(address.ip());
            }
            other => panic!("nothing here gives a reason for {other:?}"),
        }
    }

    /// Panics unless everything that it claims would survive a crash now.
    pub fn assert_claims(&self, commons: &Commons) {
        for (torrent, progress) in self.torrents.iter().zip(&self.progress) {
            let claimed = (0..torrent.pieces()).filter(|piece| progress.claimed[*piece as usize]);
            claimed.for_each(|piece| self.assert_holds(commons, torrent, piece, true));
        }
    }

    fn assert_holds(&self, commons: &Commons, torrent: &Rc<Torrent>, piece: u32, durably: bool) {
        let disk = &commons.disks[self.options.disk];
        let right = torrent.bytes_of(piece);
        let start = u64::from(piece) * u64::from(torrent.piece_len);
        let end = start + right.len() as u64;
        for file in torrent.files.iter().filter(|file| !file.padding) {
            let (from, to) = (file.start.max(start), (file.start + file.len).min(end));
            if from >= to {
                continue;
            }
            let part = &right[(from - start) as usize..(to - start) as usize];
            let path: &Path = &file.path;
            let holds = disk
                .find(path)
                .is_some_and(|inode| disk.holds(inode, durably, from - file.start, part));
            assert!(
                holds,
                "{} is said to have piece {piece}, and {} does not hold it (durably: {durably})",
                self.options.address,
                path.display()
            );
        }
    }
}
