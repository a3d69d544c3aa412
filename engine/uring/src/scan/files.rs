//! The files that one worker has open, and what it saw of them.
//!
//! A file is opened when its first extent is planned and closed when no extent of it is left and others need the
//! descriptors. Each opening leaves an [`Observation`]: the stamps at its two ends, or why it failed. Workers open the
//! same file independently; their observations are compared at the end (see `outcome`), so nothing is shared here.
//!
//! A file has up to two descriptors: one through the page cache, which also answers questions about it, and one around
//! it, where the file system takes direct reads.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shoal_world::{Errno, FileStamp, PAGE_LEN, Refusal};

use crate::descriptors;
use crate::kernel::IoMode;
use crate::stamp::{is_regular, stamp, stamp_of, statx, takes_direct};

/// Files without planned extents that stay open, because neighbouring pieces often need the same ones.
const IDLE_MAX: usize = 32;

/// Descriptors of an open file: see the module.
const DESCRIPTORS_PER_FILE: u64 = 2;

/// Descriptors that are left to the rest of the process: rings, and whatever is opened meanwhile.
const DESCRIPTORS_SPARED: u64 = 32;

/// Two writes within one tick of the coarse clock leave the same time. The longest tick is 10 ms (CONFIG_HZ=100);
/// twice that is on the safe side.
const STAMP_AGE_MIN: Duration = Duration::from_millis(20);

/// What one worker saw of one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) part: usize,
    pub(super) seen: Seen,
}

/// See [`Observation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was there: before the first read and after the last.
    File { before: FileStamp, after: FileStamp },
    /// There is no such file.
    Missing,
    /// It could not be opened or read.
    Refused(Refusal),
}

/// An open file.
pub(super) struct OpenFile {
    /// Through the page cache.
    pub(super) cached: fs::File,
    /// Around the page cache.
    direct: Option<fs::File>,
    /// A direct read was refused, whatever the file system promised. The descriptor stays open, because reads on it
    /// may still be queued.
    refuses_direct: bool,
    /// What it was when it was opened.
    pub(super) before: FileStamp,
    /// Planned extents that were not hashed yet.
    users: u32,
}

/// A file for one more extent, if it can be had.
pub(super) enum Acquired<'a> {
    /// Here it is, until it is released.
    File(&'a OpenFile),
    /// Never: an observation says why.
    Failed,
    /// Once another one is released: as many as may be open are open and in use.
    Later,
}

/// See the module.
pub(super) struct Files {
    io_mode: IoMode,
    /// Files that may be open at once, at least one.
    open_max: usize,
    open: HashMap<usize, OpenFile>,
    /// Parts not to try again, with an observation that says why.
    failed: HashSet<usize>,
    observations: Vec<Observation>,
}

impl Files {
    pub(super) fn new(io_mode: IoMode, open_max: usize) -> Files {
        Files {
            io_mode,
            open_max,
            open: HashMap::new(),
            failed: HashSet::new(),
            observations: Vec::new(),
        }
    }

    /// The file of a part for one more extent.
    pub(super) fn acquire(&mut self, part: usize, path: &Path) -> Acquired<'_> {
        if self.failed.contains(&part) {
            return Acquired::Failed;
        }
        if !self.open.contains_key(&part) {
            self.close_idle();
            if self.open.len() >= self.open_max {
                return Acquired::Later;
            }
            match OpenFile::open(path, self.io_mode) {
                Ok(file) => {
                    self.open.insert(part, file);
                }
                Err(seen) => {
                    self.fail(part, seen);
                    return Acquired::Failed;
                }
            }
        }
        let file = self.open.get_mut(&part).expect("opened above");
        file.users += 1;
        Acquired::File(file)
    }

    /// An extent is done with.
    pub(super) fn release(&mut self, part: usize) {
        self.open
            .get_mut(&part)
            .expect("whoever releases has acquired")
            .users -= 1;
    }

    /// A file that has users.
    pub(super) fn file(&self, part: usize) -> &OpenFile {
        &self.open[&part]
    }

    /// Reads of a part failed: it is not tried again.
    pub(super) fn fail(&mut self, part: usize, seen: Seen) {
        if self.failed.insert(part) {
            self.observations.push(Observation { part, seen });
        }
    }

    /// A direct read of this part was refused.
    pub(super) fn refuses_direct(&mut self, part: usize) {
        self.open
            .get_mut(&part)
            .expect("whoever reads has acquired")
            .refuses_direct = true;
    }

    /// Closes everything and tells what was seen.
    pub(super) fn into_observations(mut self) -> Vec<Observation> {
        for (part, file) in self.open {
            self.observations.push(file.close(part));
        }
        self.observations
    }

    fn close_idle(&mut self) {
        if self.open.len() < IDLE_MAX.min(self.open_max) {
            return;
        }
        for (part, file) in self.open.extract_if(|_, file| file.users == 0) {
            self.observations.push(file.close(part));
        }
    }
}

/// How many files each of so many workers may have open, so that all of them together find descriptors.
pub(super) fn open_max(workers: usize) -> usize {
    let spare = descriptors::raise_limit().saturating_sub(descriptors::open() + DESCRIPTORS_SPARED);
    let share = spare / DESCRIPTORS_PER_FILE / workers as u64;
    usize::try_from(share).unwrap_or(usize::MAX).max(1)
}

impl OpenFile {
    fn open(path: &Path, io_mode: IoMode) -> Result<OpenFile, Seen> {
        // Without O_NONBLOCK a pipe in place of the file would wait for its writer.
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let cached = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Seen::Missing,
            _ => refused(errno_of(&error)),
        })?;
        let raw = statx(cached.as_fd()).map_err(refused)?;
        if !is_regular(&stamp_of(&raw)) {
            return Err(Seen::Refused(Refusal::NotRegular));
        }
        let direct = if io_mode != IoMode::Buffered && takes_direct(&raw) {
            reopen_direct(&cached)
        } else {
            None
        };
        let before = aged_stamp(&cached).map_err(refused)?;
        Ok(OpenFile {
            cached,
            direct,
            refuses_direct: false,
            before,
            users: 0,
        })
    }

    /// The descriptor for reads around the page cache.
    pub(super) fn direct(&self) -> Option<&fs::File> {
        self.direct.as_ref().filter(|_| !self.refuses_direct)
    }

    /// Whether the page cache holds all of a range.
    pub(super) fn is_resident(&self, offset: u64, len: u64) -> bool {
        let page_len = u64::from(PAGE_LEN);
        let pages = (offset + len).div_ceil(page_len) - offset / page_len;
        resident_pages(&self.cached, offset, len).is_some_and(|resident| resident >= pages)
    }

    fn close(self, part: usize) -> Observation {
        let seen = match stamp(self.cached.as_fd()) {
            Ok(after) => Seen::File {
                before: self.before,
                after,
            },
            Err(errno) => refused(errno),
        };
        Observation { part, seen }
    }
}

/// The operating system says no.
pub(super) fn refused(errno: Errno) -> Seen {
    Seen::Refused(Refusal::Errno(errno))
}

pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The same inode once more, around the page cache. Its path may name another file by now, its descriptor cannot.
fn reopen_direct(file: &fs::File) -> Option<fs::File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .ok()
}

/// A stamp that a later write cannot leave as it is, because the file was last changed before this tick of the clock.
/// It takes at most [`STAMP_AGE_MIN`]; a file that is written all the time shows as changed afterwards.
fn aged_stamp(file: &fs::File) -> Result<FileStamp, Errno> {
    let young = stamp(file.as_fd())?;
    let now_ns = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    // A change time in the future (the clock was set back) counts as now.
    let age_ns = now_ns.saturating_sub(u128::try_from(young.changed_ns).unwrap_or(0));
    if age_ns >= STAMP_AGE_MIN.as_nanos() {
        return Ok(young);
    }
    thread::sleep(STAMP_AGE_MIN - Duration::from_nanos(age_ns as u64));
    // The stamp from before the wait: what was changed during it shows as a difference.
    Ok(young)
}

/// The number of `cachestat(2)`, the same on all architectures (the `libc` crate lacks it on this one).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` of `linux/mman.h`.
#[repr(C)]
struct CachestatRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat` of `linux/mman.h`, in pages.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    in_writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How many pages of a range are in the page cache. Nothing if the kernel does not tell (before 6.5, or a file of
/// somebody else).
fn resident_pages(file: &fs::File, offset: u64, len: u64) -> Option<u64> {
    let range = CachestatRange { offset, len };
    let mut found = Cachestat::default();
    // SAFETY: both structures have the kernel's layout and live across the call; the descriptor is borrowed.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw const range,
            &raw mut found,
            0_u32,
        )
    };
    (result == 0).then_some(found.cached)
}
