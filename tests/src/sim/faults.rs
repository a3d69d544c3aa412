//! The fault model: everything that can go wrong in the simulation, and how often.
//!
//! A run takes one [`Faults`]; its seed enables a random, randomly weighted subset of it ([`Faults::subset`]), so
//! that some runs see one fault often and others many at a time. Faults happen between `begin` and `end` of a
//! scenario; afterwards the world is as good as [`Faults::NONE`], and everything that can finish must.

use std::time::Duration;

use super::dice::{Chance, Dice};

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Network: a segment carries only its first few bytes, per segment. Messages arrive in pieces.
    pub segment_split: Chance,
    /// Network: a segment comes late by up to [`Faults::stall_max`], and all behind it, per segment.
    pub segment_stall: Chance,
    /// Longest stall of one segment.
    pub stall_max: Duration,
    /// Network: the connection is reset instead of carrying on, per segment.
    pub reset: Chance,
    /// Network: one end vanishes without a word, and its host answers with a reset what comes later, per segment.
    pub half_open: Chance,
    /// Network: a connection is refused, per attempt.
    pub connect_refused: Chance,
    /// Network: a connection attempt gets no answer, per attempt.
    pub connect_lost: Chance,
    /// Network: how often two hosts cannot reach each other for up to [`Faults::partition_max`], in one direction or
    /// both, per run.
    pub partitions: u32,
    /// Longest partition.
    pub partition_max: Duration,
    /// Network: a datagram is lost.
    pub datagram_lost: Chance,
    /// Network: a datagram comes twice.
    pub datagram_doubled: Chance,
    /// Network: a datagram comes late, after others.
    pub datagram_late: Chance,
    /// Network: a byte of a datagram is another one.
    pub datagram_corrupt: Chance,
    /// Sockets: a send takes only some of what there is room for, possibly nothing, per send.
    pub send_part: Chance,
    /// Sockets: accepting ends for want of descriptors or memory, per connection.
    pub accept_paused: Chance,
    /// Sockets: received portions are shorter than their buffers, per portion.
    pub receive_part: Chance,
    /// Disk: a read fails (EIO), per read.
    pub read_error: Chance,
    /// Disk: a read takes up to [`Faults::slow_max`], per read.
    pub read_slow: Chance,
    /// Disk: a read comes in two parts, which the world joins, per read.
    pub read_short: Chance,
    /// Longest time of a slow read, write or sync.
    pub slow_max: Duration,
    /// Disk: pages that cannot be read until they are written again, per run.
    pub bad_sectors: u32,
    /// Disk: pages whose bytes change without a word, per run.
    pub rotten_sectors: u32,
    /// Disk: opening a file or looking at it fails for a moment (EMFILE), per call.
    pub open_error: Chance,
    /// Disk: a write fails (EIO), per write.
    pub write_error: Chance,
    /// Disk: a write comes in two parts, which the world joins, per write.
    pub write_short: Chance,
    /// Disk: how often there is no space for up to [`Faults::full_max`], per run.
    pub full: u32,
    /// Longest time without space.
    pub full_max: Duration,
    /// Disk: a sync fails (EIO), and what it should have made durable is not, per sync.
    pub sync_error: Chance,
    /// Memory: a framed extent cannot be written (ENOMEM), per fill.
    pub fill_error: Chance,
    /// Hashing: a job takes up to [`Faults::slow_max`], per job.
    pub hash_slow: Chance,
    /// Files: how often somebody writes to a file, truncates, deletes, replaces or touches it, per run.
    pub files_changed: u32,
    /// Process: how often the daemon is stopped in order, in the middle of everything, and started again, per run.
    pub restarts: u32,
    /// Process: how often the daemon is killed and started again, per run.
    pub crashes: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Faults = Faults {
        segment_split: Chance::NEVER,
        segment_stall: Chance::NEVER,
        stall_max: Duration::from_secs(5),
        reset: Chance::NEVER,
        half_open: Chance::NEVER,
        connect_refused: Chance::NEVER,
        connect_lost: Chance::NEVER,
        partitions: 0,
        partition_max: Duration::from_secs(20),
        datagram_lost: Chance::NEVER,
        datagram_doubled: Chance::NEVER,
        datagram_late: Chance::NEVER,
        datagram_corrupt: Chance::NEVER,
        send_part: Chance::NEVER,
        accept_paused: Chance::NEVER,
        receive_part: Chance::NEVER,
        read_error: Chance::NEVER,
        read_slow: Chance::NEVER,
        read_short: Chance::NEVER,
        slow_max: Duration::from_secs(3),
        bad_sectors: 0,
        rotten_sectors: 0,
        open_error: Chance::NEVER,
        write_error: Chance::NEVER,
        write_short: Chance::NEVER,
        full: 0,
        full_max: Duration::from_secs(10),
        sync_error: Chance::NEVER,
        fill_error: Chance::NEVER,
        hash_slow: Chance::NEVER,
        files_changed: 0,
        restarts: 0,
        crashes: 0,
    };

    /// What happens to healthy systems every day: streams cut anywhere, sockets and reads that give a part.
    pub const LITE: Faults = Faults {
        segment_split: Chance::one_in(10),
        segment_stall: Chance::one_in(2_000),
        send_part: Chance::one_in(10),
        receive_part: Chance::one_in(10),
        read_slow: Chance::one_in(1_000),
        read_short: Chance::one_in(20),
        write_short: Chance::one_in(20),
        datagram_lost: Chance::one_in(100),
        datagram_late: Chance::one_in(100),
        hash_slow: Chance::one_in(1_000),
        ..Faults::NONE
    };

    /// Everything.
    pub const SWARM: Faults = Faults {
        reset: Chance::one_in(5_000),
        half_open: Chance::one_in(10_000),
        connect_refused: Chance::one_in(10),
        connect_lost: Chance::one_in(20),
        partitions: 2,
        datagram_doubled: Chance::one_in(50),
        datagram_corrupt: Chance::one_in(100),
        accept_paused: Chance::one_in(20),
        read_error: Chance::one_in(5_000),
        bad_sectors: 1,
        rotten_sectors: 1,
        open_error: Chance::one_in(10),
        write_error: Chance::one_in(1_000),
        full: 1,
        sync_error: Chance::one_in(100),
        fill_error: Chance::one_in(20),
        files_changed: 2,
        restarts: 1,
        crashes: 1,
        ..Faults::LITE
    };

    /// Nothing that would change how long things take.
    pub const PERFORMANCE: Faults = Faults::NONE;

    /// Some of these faults, each as it stands or up to ten times as often.
    #[must_use]
    pub fn subset(&self, dice: &mut Dice) -> Faults {
        let mut chance = |chance: Chance| match dice.below(6) {
            0..=2 => Chance::NEVER,
            3 | 4 => chance,
            _ => chance.times(10),
        };
        let chances = Faults {
            segment_split: chance(self.segment_split),
            segment_stall: chance(self.segment_stall),
            reset: chance(self.reset),
            half_open: chance(self.half_open),
            connect_refused: chance(self.connect_refused),
            connect_lost: chance(self.connect_lost),
            datagram_lost: chance(self.datagram_lost),
            datagram_doubled: chance(self.datagram_doubled),
            datagram_late: chance(self.datagram_late),
            datagram_corrupt: chance(self.datagram_corrupt),
            send_part: chance(self.send_part),
            accept_paused: chance(self.accept_paused),
            receive_part: chance(self.receive_part),
            read_error: chance(self.read_error),
            read_slow: chance(self.read_slow),
            read_short: chance(self.read_short),
            open_error: chance(self.open_error),
            write_error: chance(self.write_error),
            write_short: chance(self.write_short),
            sync_error: chance(self.sync_error),
            fill_error: chance(self.fill_error),
            hash_slow: chance(self.hash_slow),
            ..self.clone()
        };
        let mut count = |count: u32| match dice.below(3) {
            0 => 0,
            1 => count.min(1),
            _ => count,
        };
        Faults {
            partitions: count(self.partitions),
            bad_sectors: count(self.bad_sectors),
            rotten_sectors: count(self.rotten_sectors),
            full: count(self.full),
            files_changed: count(self.files_changed),
            restarts: count(self.restarts),
            crashes: count(self.crashes),
            ..chances
        }
    }
}
