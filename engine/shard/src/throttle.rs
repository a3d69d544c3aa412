//! Limits of rates, which all cores share without a lock.
//!
//! A throttle is one number: the time at which what was let through so far is paid for at the configured rate. Whoever
//! wants to send or ask finds it open until [`BURST`] before that time, and moves it on by what it takes. Cores find it
//! open in the order in which they look, and take a portion at a time, so none is kept out by another; over any second no
//! more passes than the rate allows, one burst and one portion besides.
//!
//! What is downloaded is limited where it is asked for, so that nothing arrives that has to wait.
//! It knows no clock: the time is the world's, the same on all cores.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::BLOCK_LEN;
use shoal_world::{Op, Socket, Time};

use crate::download::Download;
use crate::shard::Shard;
use crate::torrent::TorrentId;

/// How far ahead of its payment traffic may run: long enough that a core which looks every few milliseconds wastes
/// nothing, short against the second over which a limit is to be exact.
const BURST: Duration = Duration::from_millis(50);

/// Part of a second's traffic that one peer may take at a time.
const PORTIONS_PER_S: u64 = 40;

/// One part in so many that TCP and IP add to payload: 52 bytes of headers for 1,448 of data, and ours.
const OVERHEAD_PART: u64 = 27;

/// A limit in bytes per second, or none.
#[derive(Debug, Default)]
pub struct Throttle {
    /// 0: no limit.
    bytes_per_s: AtomicU64,
    /// When everything that passed is paid for, nanoseconds of the world's clock.
    paid_at_ns: AtomicU64,
}

impl Throttle {
    /// A limit, or none.
    pub fn new(bytes_per_s: Option<u64>) -> Throttle {
        let throttle = Throttle::default();
        throttle.set(bytes_per_s);
        throttle
    }

    /// Changes the limit, for all cores and from now on.
    pub fn set(&self, bytes_per_s: Option<u64>) {
        // A limit of nothing at all would never open again; a byte a second is as good.
        let value = bytes_per_s.map_or(0, |limit| limit.max(1));
        self.bytes_per_s.store(value, Ordering::Relaxed);
        // What was owed at the rate before does not bind the new one.
        self.paid_at_ns.store(0, Ordering::Relaxed);
    }

    fn limit(&self) -> Option<u64> {
        Some(self.bytes_per_s.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }

    /// When something may pass; `None`: now.
    fn opens_at(&self, now: Time) -> Option<Time> {
        self.limit()?;
        let paid_at = Time::from_ns(self.paid_at_ns.load(Ordering::Relaxed));
        (paid_at > now + BURST).then(|| Time::from_ns(paid_at.as_ns() - BURST.as_nanos() as u64))
    }

    /// Bytes that may pass at a time.
    fn portion(&self) -> u64 {
        self.limit().map_or(u64::MAX, |limit| limit / PORTIONS_PER_S)
    }

    /// The time that so many bytes take; `None`: there is no limit.
    fn cost_ns(&self, bytes: u64) -> Option<u64> {
        let limit = self.limit()?;
        Some((u128::from(bytes) * 1_000_000_000 / u128::from(limit)) as u64)
    }

    /// So many bytes pass.
    fn charge(&self, now: Time, bytes: u64) {
        let Some(cost_ns) = self.cost_ns(bytes) else {
            return;
        };
        let pay = |paid_at_ns: u64| Some(paid_at_ns.max(now.as_ns()).saturating_add(cost_ns));
        // Relaxed: the number guards no other memory.
        let paid = self
            .paid_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        paid.expect("every charge is taken");
    }

    /// So many bytes that were charged did not pass.
    fn give_back(&self, bytes: u64) {
        let Some(cost_ns) = self.cost_ns(bytes) else {
            return;
        };
        let give = |paid_at_ns: u64| Some(paid_at_ns.saturating_sub(cost_ns));
        let given = self
            .paid_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
        given.expect("every gift is taken");
    }
}

/// The limits of one direction.
#[derive(Debug, Default)]
pub struct Direction {
    /// For all peers.
    pub all: Throttle,
    /// For peers outside of local networks.
    pub internet: Throttle,
}

/// The limits that all cores share.
#[derive(Debug, Default)]
pub struct Throttles {
    /// For what we fetch.
    pub download: Direction,
    /// For what we send.
    pub upload: Direction,
    /// Headers of TCP and IP count as well.
    pub with_overhead: bool,
}

/// The limits of one torrent.
#[derive(Debug, Default)]
pub(crate) struct OwnThrottles {
    pub(crate) download: Throttle,
    pub(crate) upload: Throttle,
}

/// The limits that hold for one peer in one direction.
pub(crate) struct Gate<'a> {
    throttles: [Option<&'a Throttle>; 3],
    with_overhead: bool,
}

impl Throttles {
    /// The limits on what a peer of a torrent is asked for.
    pub(crate) fn download_gate<'a>(&'a self, own: &'a OwnThrottles, ip: IpAddr) -> Gate<'a> {
        Gate::new(&self.download, &own.download, ip, self.with_overhead)
    }

    /// The limits on what it is sent.
    fn upload_gate<'a>(&'a self, own: &'a OwnThrottles, ip: IpAddr) -> Gate<'a> {
        Gate::new(&self.upload, &own.upload, ip, self.with_overhead)
    }
}

impl<'a> Gate<'a> {
    fn new(direction: &'a Direction, own: &'a Throttle, ip: IpAddr, with_overhead: bool) -> Gate<'a> {
        Gate {
            throttles: [
                Some(&direction.all),
                (!is_local(ip)).then_some(&direction.internet),
                Some(own),
            ],
            with_overhead,
        }
    }

    fn each(&self) -> impl Iterator<Item = &'a Throttle> + '_ {
        self.throttles.iter().copied().flatten()
    }

    /// Blocks that may pass now, at least one; or when to ask again.
    pub(crate) fn blocks(&self, now: Time) -> Result<usize, Time> {
        if let Some(at) = self.each().filter_map(|throttle| throttle.opens_at(now)).max() {
            return Err(at);
        }
        let portion = self.each().map(Throttle::portion).min().unwrap_or(u64::MAX);
        Ok(usize::try_from(portion / u64::from(BLOCK_LEN))
            .unwrap_or(usize::MAX)
            .max(1))
    }

    /// So many bytes of blocks pass.
    pub(crate) fn charge(&self, now: Time, bytes: u64) {
        for throttle in self.each() {
            throttle.charge(now, self.traffic(bytes));
        }
    }

    /// So many bytes of blocks that were charged will not come.
    fn give_back(&self, bytes: u64) {
        for throttle in self.each() {
            throttle.give_back(self.traffic(bytes));
        }
    }

    /// What counts against the limits for so many bytes of blocks.
    fn traffic(&self, bytes: u64) -> u64 {
        if self.with_overhead {
            bytes + bytes / OVERHEAD_PART
        } else {
            bytes
        }
    }
}

impl Shard {
    /// The limits on what a peer of a torrent is sent.
    pub(crate) fn upload_gate(&self, id: TorrentId, ip: IpAddr) -> Option<Gate<'_>> {
        let own = &self.torrents.get(id)?.throttles;
        Some(self.settings.throttles.upload_gate(own, ip))
    }

    /// Charges the limits for what a peer sent unasked, and gives back what it was asked for and will not send.
    pub(crate) fn settle_owed(&mut self, now: Time, socket: Socket) {
        let Some(conversation) = self.peers.talking(socket) else {
            return;
        };
        let owed = conversation
            .download
            .as_deref_mut()
            .map_or(0, Download::take_owed);
        if owed == 0 {
            return;
        }
        let (id, ip) = (conversation.torrent, conversation.address.ip());
        self.charge_owed(now, id, ip, owed);
    }

    /// Charges the limits for so many bytes of a peer, or gives back what is negative.
    pub(crate) fn charge_owed(&self, now: Time, id: TorrentId, ip: IpAddr, owed: i64) {
        let Some(active) = self.torrents.get(id) else {
            return;
        };
        let gate = self.settings.throttles.download_gate(&active.throttles, ip);
        if owed > 0 {
            gate.charge(now, owed.unsigned_abs());
        } else {
            gate.give_back(owed.unsigned_abs());
        }
    }

    /// When a peer may be sent something; `None`: now.
    pub(crate) fn upload_opens_at(&self, now: Time, id: TorrentId, ip: IpAddr) -> Option<Time> {
        self.upload_gate(id, ip)?.blocks(now).err()
    }

    /// A peer waits for a throttle until this time.
    pub(crate) fn wait_until_open(&mut self, socket: Socket, at: Time) {
        self.throttled.insert(socket);
        self.opens_at = Some(self.opens_at.map_or(at, |before| before.min(at)));
    }

    /// Lets those go on whose throttles may have opened.
    pub(crate) fn open_throttles(&mut self, now: Time, ops: &mut Vec<Op>) {
        if self.opens_at.is_none_or(|at| at > now) {
            return;
        }
        self.opens_at = None;
        for socket in self.throttled.take() {
            self.queue_asking(socket);
            self.send_next(now, socket, ops);
        }
    }

    pub(crate) fn limit(
        &mut self,
        now: Time,
        info_hash: InfoHash,
        download: Option<u64>,
        upload: Option<u64>,
    ) {
        let Some(id) = self.torrents.find(info_hash) else {
            return;
        };
        if let Some(active) = self.torrents.active(id) {
            active.throttles.download.set(download);
            active.throttles.upload.set(upload);
            self.opens_at = self.opens_at.map(|_| now);
        }
    }
}

/// Whether an address is of this machine or of a network beside it (RFC 1918, 3927, 4193, 4291).
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
