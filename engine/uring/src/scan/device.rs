//! Whether the disk has an arm to move.
//!
//! A spinning disk reads in order or not well at all: with several readers at different places it spends its time on
//! the way between them. The kernel's flag (`queue/rotational`) alone does not tell, because virtual disks claim to
//! rotate whatever they are made of. So a disk that claims it is asked: scattered small reads take about 8 ms each
//! where an arm moves, and 0.05 ms on the virtual disk that this was written on.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use shoal_world::PAGE_LEN;

use super::Source;
use super::space::Space;
use crate::memory::Mapping;

/// Scattered reads made to find out: on a spinning disk a fifteenth of a second.
const PROBES: u64 = 8;

/// Half a turn of the fastest spinning disks (15,000 a minute) takes 2 ms, before the arm has moved at all; a read that
/// moves nothing takes a twentieth of it.
const ARM_READ_MIN: Duration = Duration::from_millis(2);

/// How the disks under a space like to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    /// Anywhere, much at once.
    Still,
    /// In order.
    Arm,
}

/// How the disks under a space like to be read. What cannot be found out does no harm to disks without an arm.
pub(super) fn motion(space: &Space<'_>) -> Motion {
    let Ok(page) = Mapping::new(PAGE_LEN as usize) else {
        return Motion::Still;
    };
    let probes: Vec<Duration> = (0..PROBES)
        .map(|probe| space.len() / PROBES * probe + space.len() / (2 * PROBES))
        .filter_map(|at| scattered_read(space, at, &page))
        .collect();
    let slow = probes.iter().filter(|time| **time >= ARM_READ_MIN).count();
    if slow > probes.len() / 2 {
        Motion::Arm
    } else {
        Motion::Still
    }
}

/// How long one small read at byte `at` of the space takes, if a disk lies there that claims to rotate.
fn scattered_read(space: &Space<'_>, at: u64, page: &Mapping) -> Option<Duration> {
    let extent = space.extents(at..at + 1).next()?;
    let Source::File(path) = &space.parts()[extent.part].source else {
        return None;
    };
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || !claims_to_rotate(metadata.dev()) {
        return None;
    }
    let file = open(path)?;
    // SAFETY: the page is mapped and nobody else uses it.
    let buffer = unsafe { std::slice::from_raw_parts_mut(page.at(0), PAGE_LEN as usize) };
    let began = Instant::now();
    file.read_at(buffer, extent.offset - extent.offset % u64::from(PAGE_LEN))
        .ok()?;
    Some(began.elapsed())
}

/// Around the page cache where possible: a page that is cached says nothing about the disk.
fn open(path: &Path) -> Option<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let open = |flags| File::options().read(true).custom_flags(flags).open(path);
    open(flags | libc::O_DIRECT).or_else(|_| open(flags)).ok()
}

/// What the kernel says of the disk with this device number, or of the one that this partition is a part of.
fn claims_to_rotate(device: u64) -> bool {
    let directory = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
    let flag = |path: &str| fs::read_to_string(format!("{directory}/{path}")).ok();
    // The directory is a symbolic link: `..` is the disk that holds the partition.
    flag("queue/rotational")
        .or_else(|| flag("../queue/rotational"))
        .is_some_and(|flag| flag.trim() == "1")
}
