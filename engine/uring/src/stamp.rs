//! `statx(2)`: what a file is at this moment.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use shoal_world::{Errno, FileStamp, PAGE_LEN};

/// What is asked of `statx`: identity, size, times, links, owner, and the alignment of direct reads (Linux 6.1).
pub(crate) const STATX_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_DIOALIGN;

/// The stamp of an open file. Inline: the inode of an open file is in memory.
pub fn stamp(file: BorrowedFd<'_>) -> Result<FileStamp, Errno> {
    statx(file).map(|raw| stamp_of(&raw))
}

pub(crate) fn statx(file: BorrowedFd<'_>) -> Result<libc::statx, Errno> {
    const EMPTY: &CStr = c"";
    // SAFETY: `statx` is plain data for which all zeroes is a value.
    let mut raw: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a NUL-terminated static, `raw` is valid for writing one `statx`, the descriptor is borrowed.
    let result = unsafe {
        libc::statx(
            file.as_raw_fd(),
            EMPTY.as_ptr(),
            libc::AT_EMPTY_PATH,
            STATX_MASK,
            &raw mut raw,
        )
    };
    if result == 0 { Ok(raw) } else { Err(last_errno()) }
}

pub(crate) fn stamp_of(raw: &libc::statx) -> FileStamp {
    FileStamp {
        device: u64::from(raw.stx_dev_major) << 32 | u64::from(raw.stx_dev_minor),
        inode: raw.stx_ino,
        size: raw.stx_size,
        modified_ns: nanoseconds(&raw.stx_mtime),
        changed_ns: nanoseconds(&raw.stx_ctime),
        links: raw.stx_nlink,
        mode: u32::from(raw.stx_mode),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
    }
}

/// Whether the file system takes direct reads that are aligned to pages.
pub(crate) fn takes_direct(raw: &libc::statx) -> bool {
    let aligned = |alignment: u32| alignment != 0 && PAGE_LEN.is_multiple_of(alignment);
    raw.stx_mask & libc::STATX_DIOALIGN != 0
        && aligned(raw.stx_dio_mem_align)
        && aligned(raw.stx_dio_offset_align)
}

pub(crate) fn is_regular(stamp: &FileStamp) -> bool {
    stamp.mode & libc::S_IFMT == libc::S_IFREG
}

pub(crate) fn last_errno() -> Errno {
    errno_of(&io::Error::last_os_error())
}

pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

fn nanoseconds(time: &libc::statx_timestamp) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(time.tv_nsec))
}
