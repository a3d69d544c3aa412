//! The simulated disk: files whose content is generated, what was written over it, and what a crash leaves.
//!
//! A file is a range of an endless generated stream or empty, and the pages that were written; a terabyte costs nothing
//! until it is written to. What was written is visible at once and durable after a sync; a crash keeps what is durable
//! and, of what was not synced, a random subset, the last of it possibly torn. Reads and writes take a seek if they do not
//! continue the last one, and their bytes' time; as many as the drive's depth are served at a time.
//!
//! It performs nothing by itself: callers ask when something will be done ([`Disk::schedule`]) and do it then.

mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_world::{Access, Errno, FileStamp, PAGE_LEN, Refusal, Time};

use super::dice::Dice;
use super::errno;
use super::faults::Faults;
pub use inode::Content;
use inode::Inode;

/// What a drive can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Bytes per second of one stream.
    pub rate: u64,
    /// Time to get to another place.
    pub seek: Duration,
    /// How many requests it serves at a time.
    pub depth: usize,
}

impl Drive {
    /// Flash.
    pub const FLASH: Drive = Drive {
        rate: 1 << 29,
        seek: Duration::from_micros(80),
        depth: 32,
    };

    /// A spinning disk.
    pub const SPINNING: Drive = Drive {
        rate: 150 << 20,
        seek: Duration::from_millis(9),
        depth: 1,
    };
}

/// A file by its inode; it lives as long as a name or a handle refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InodeNumber(pub u64);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It makes durable what was written.
    Sync,
}

/// One drive with a file system.
#[derive(Debug)]
pub struct Disk {
    /// What goes wrong at the moment.
    pub faults: Faults,
    dice: Dice,
    drive: Drive,
    /// When each of the drive's places is free.
    free_at: Vec<Time>,
    /// Where the last request ended.
    head: (InodeNumber, u64),
    names: BTreeMap<Arc<Path>, InodeNumber>,
    directories: BTreeSet<Arc<Path>>,
    inodes: BTreeMap<InodeNumber, Inode>,
    made: u64,
    /// The clock of stamps: no two changes have the same.
    stamped_ns: i64,
    full_until: Time,
    /// Bytes that files may still grow by; `None`: no bound.
    space_left: Option<u64>,
    /// The next opening or look fails.
    fails_once: bool,
    refusals: u64,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, drive: Drive) -> Disk {
        Disk {
            faults: Faults::NONE,
            dice: Dice::new(seed, "disk"),
            drive,
            free_at: vec![Time::ZERO; drive.depth],
            head: (InodeNumber(0), 0),
            names: BTreeMap::new(),
            directories: BTreeSet::new(),
            inodes: BTreeMap::new(),
            made: 0,
            stamped_ns: 0,
            full_until: Time::ZERO,
            space_left: None,
            fails_once: false,
            refusals: 0,
        }
    }

    /// Lets the next opening or look fail, if it is to.
    pub fn fail_once(&mut self, fails: bool) {
        self.fails_once |= fails;
    }

    fn lookup_fails(&mut self) -> bool {
        let fails = std::mem::take(&mut self.fails_once) || self.dice.happens(self.faults.open_error);
        self.refusals += u64::from(fails);
        fails
    }

    /// Puts a file under a name, over what stood there; what it holds is durable.
    pub fn put(&mut self, now: Time, path: &Arc<Path>, content: Content, len: u64) -> InodeNumber {
        self.delete(now, path);
        let number = InodeNumber(self.made + 1);
        self.made += 1;
        let stamp = self.next_stamp(now);
        self.inodes.insert(number, Inode::new(content, len, stamp));
        self.names.insert(path.clone(), number);
        number
    }

    /// Makes a directory.
    pub fn put_directory(&mut self, path: &Arc<Path>) {
        self.directories.insert(path.clone());
    }

    /// Takes a name away.
    pub fn delete(&mut self, now: Time, path: &Path) {
        let stamp = self.next_stamp(now);
        if let Some(number) = self.names.remove(path)
            && let Some(inode) = self.inodes.get_mut(&number)
        {
            inode.links -= 1;
            inode.changed_ns = stamp;
            self.forget_unused(number);
        }
    }

    /// The file under a name.
    pub fn find(&self, path: &Path) -> Option<InodeNumber> {
        self.names.get(path).copied()
    }

    /// Changes the time of the last change of attributes alone, as a rename forth and back does.
    pub fn touch(&mut self, now: Time, number: InodeNumber) {
        let stamp = self.next_stamp(now);
        self.inode(number).changed_ns = stamp;
    }

    /// Sets type and permission bits.
    pub fn set_mode(&mut self, now: Time, number: InodeNumber, mode: u32) {
        let stamp = self.next_stamp(now);
        let inode = self.inode(number);
        inode.mode = mode;
        inode.changed_ns = stamp;
    }

    /// Sets the length.
    pub fn truncate(&mut self, now: Time, number: InodeNumber, len: u64) {
        let stamp = self.next_stamp(now);
        let inode = self.inode(number);
        inode.set_len(len);
        inode.stamped(stamp);
    }

    /// From now until then there is no space for anything new.
    pub fn fill_up(&mut self, until: Time) {
        self.full_until = self.full_until.max(until);
    }

    /// Lets files grow by so many bytes more; `None`: no bound.
    pub fn limit_space(&mut self, bytes: Option<u64>) {
        self.space_left = bytes;
    }

    /// A page that cannot be read until it is written again.
    pub fn damage(&mut self, number: InodeNumber, page: u64) {
        self.inode(number).bad.insert(page);
    }

    /// A page whose bytes are other ones from now on, without any stamp telling.
    pub fn rot(&mut self, number: InodeNumber, page: u64) {
        self.inode(number).rotten.insert(page);
    }

    /// All bad and rotten pages are as they were.
    pub fn heal(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.bad.clear();
            inode.rotten.clear();
        }
    }

    /// Opens what stands under a name.
    ///
    /// # Errors
    /// That it is not there, not a file, or that no descriptors are left.
    pub fn open(&mut self, now: Time, path: &Arc<Path>, access: Access) -> Result<InodeNumber, Refusal> {
        if self.lookup_fails() {
            return Err(Refusal::Errno(errno::EMFILE));
        }
        if self.directories.contains(path) {
            return Err(Refusal::NotRegular);
        }
        let number = match (self.find(path), access) {
            (Some(number), _) => number,
            (None, Access::Read) => return Err(Refusal::Errno(errno::ENOENT)),
            (None, Access::Write) if !self.has_directory_of(path) => {
                return Err(Refusal::Errno(errno::ENOENT));
            }
            (None, Access::Write) => self.put(now, path, Content::Zeroes, 0),
        };
        self.inode(number).handles += 1;
        Ok(number)
    }

    /// Whether a file can be made under a name: its directory was made, or another file stands in it.
    fn has_directory_of(&self, path: &Path) -> bool {
        path.parent().is_none_or(|directory| {
            self.directories.contains(directory)
                || self.names.keys().any(|name| name.parent() == Some(directory))
        })
    }

    /// A handle of the file is gone.
    pub fn close(&mut self, number: InodeNumber) {
        self.inode(number).handles -= 1;
        self.forget_unused(number);
    }

    /// The stamp of what stands under a name.
    ///
    /// # Errors
    /// That it is not there, not a file, or that no memory is left.
    pub fn look_at(&mut self, path: &Path) -> Result<FileStamp, Refusal> {
        if self.lookup_fails() {
            return Err(Refusal::Errno(errno::ENOMEM));
        }
        if self.directories.contains(path) {
            return Err(Refusal::NotRegular);
        }
        let number = self.find(path).ok_or(Refusal::Errno(errno::ENOENT))?;
        Ok(self.stamp(number))
    }

    /// The stamp of a file.
    pub fn stamp(&self, number: InodeNumber) -> FileStamp {
        self.inodes[&number].stamp(number)
    }

    /// When a request that is made now is done.
    pub fn schedule(
        &mut self,
        now: Time,
        number: InodeNumber,
        transfer: Transfer,
        offset: u64,
        len: u32,
    ) -> Time {
        let (short, slow) = match transfer {
            Transfer::Read => (self.faults.read_short, self.faults.read_slow),
            Transfer::Write => (self.faults.write_short, self.faults.read_slow),
            Transfer::Sync => (self.faults.read_short, self.faults.read_slow),
        };
        // What the kernel answers in two parts is asked for twice.
        let turns = 1 + u32::from(self.dice.happens(short));
        let mut time = Duration::from_nanos(u64::from(len) * 1_000_000_000 / self.drive.rate.max(1));
        if self.head != (number, offset) {
            time += self.drive.seek * turns;
        }
        if self.dice.happens(slow) {
            time += self.dice.duration(Duration::ZERO..=self.faults.slow_max);
        }
        self.head = (number, offset + u64::from(len));
        let place = self.free_at.iter_mut().min().expect("a drive serves something");
        let done_at = (*place).max(now) + time;
        *place = done_at;
        done_at
    }

    /// Reads from `offset` on. How many bytes there were.
    ///
    /// # Errors
    /// That the drive cannot read them.
    pub fn read(&mut self, number: InodeNumber, offset: u64, bytes: &mut [u8]) -> Result<u32, Errno> {
        let failed = self.dice.happens(self.faults.read_error);
        let inode = &self.inodes[&number];
        if failed || inode.is_damaged(offset, bytes.len() as u64) {
            return Err(errno::EIO);
        }
        Ok(inode.read(offset, bytes) as u32)
    }

    /// Writes from `offset` on.
    ///
    /// # Errors
    /// That the drive cannot, or that there is no space.
    pub fn write(&mut self, now: Time, number: InodeNumber, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.dice.happens(self.faults.write_error) {
            self.refusals += 1;
            return Err(errno::EIO);
        }
        let grows = self.inodes[&number].new_bytes(offset, bytes.len() as u64);
        if grows > 0 && (now < self.full_until || self.space_left.is_some_and(|left| left < grows)) {
            self.refusals += 1;
            return Err(errno::ENOSPC);
        }
        if let Some(left) = &mut self.space_left {
            *left -= grows;
        }
        let stamp = self.next_stamp(now);
        let inode = self.inode(number);
        inode.write(offset, bytes);
        inode.stamped(stamp);
        Ok(())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// That the drive cannot; what was written since the last sync may be lost, and the next sync does not tell.
    pub fn sync(&mut self, number: InodeNumber) -> Result<(), Errno> {
        let failed = self.dice.happens(self.faults.sync_error);
        self.refusals += u64::from(failed);
        let inode = self.inode(number);
        if failed {
            // The kernel marks the pages clean all the same (fsyncgate, 2018).
            inode.forget_unsynced();
            return Err(errno::EIO);
        }
        inode.sync();
        Ok(())
    }

    /// The machine loses its power: what is not durable is lost, or not.
    pub fn crash(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
            inode.crash(&mut self.dice);
        }
        self.inodes.retain(|_, inode| inode.links > 0);
        self.free_at.fill(Time::ZERO);
    }

    /// The process dies and the machine goes on: handles are gone, what was written is not.
    pub fn process_died(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
        }
        self.inodes.retain(|_, inode| inode.links > 0);
    }

    /// Whether a file holds these bytes from `offset` on: as it is read now, or as it would be after a crash.
    pub fn holds(&self, number: InodeNumber, durably: bool, offset: u64, right: &[u8]) -> bool {
        let mut bytes = vec![0; right.len()];
        let inode = &self.inodes[&number];
        let len = if durably {
            inode.read_durable(offset, &mut bytes)
        } else {
            inode.read(offset, &mut bytes)
        };
        len == right.len() && bytes == right
    }

    /// Writes, syncs, openings and looks that failed so far.
    pub fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Whether a file holds exactly this, as far as its stamps could tell.
    pub fn is_original(&self, number: InodeNumber, content: Content, len: u64) -> bool {
        self.inodes[&number].is_original(content, len)
    }

    /// Whether some of its pages cannot be read or are other ones.
    pub fn is_harmed(&self, number: InodeNumber) -> bool {
        let inode = &self.inodes[&number];
        !(inode.bad.is_empty() && inode.rotten.is_empty())
    }

    /// Writes to a file and sets the time of its last change of content back.
    pub fn forge(&mut self, now: Time, number: InodeNumber, offset: u64, bytes: &[u8]) {
        let stamp = self.next_stamp(now);
        let inode = self.inode(number);
        inode.write(offset, bytes);
        inode.changed_ns = stamp;
    }

    /// Handles that are open.
    pub fn handles(&self) -> u32 {
        self.inodes.values().map(|inode| inode.handles).sum()
    }

    /// Pages of a file.
    pub fn pages(&self, number: InodeNumber) -> u64 {
        self.inodes[&number].len().div_ceil(u64::from(PAGE_LEN))
    }

    fn inode(&mut self, number: InodeNumber) -> &mut Inode {
        self.inodes
            .get_mut(&number)
            .expect("a file that nobody has was named")
    }

    fn forget_unused(&mut self, number: InodeNumber) {
        if self
            .inodes
            .get(&number)
            .is_some_and(|inode| inode.links == 0 && inode.handles == 0)
        {
            self.inodes.remove(&number);
        }
    }

    fn next_stamp(&mut self, now: Time) -> i64 {
        self.stamped_ns = (self.stamped_ns + 1).max(now.as_ns() as i64);
        self.stamped_ns
    }
}

#[cfg(test)]
mod tests;
