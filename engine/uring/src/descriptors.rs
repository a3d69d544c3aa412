//! How many descriptors this process may have.
//!
//! Every connection and every open file is one. The soft limit that a process starts with (1,024 on most systems) is for
//! programs that use `select`; the hard one is what its owner grants.

use std::fs;

/// Raises the soft limit to the hard one and returns what it is now. Refusals show when it is reached.
pub fn raise_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writing and reading.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit {
                rlim_cur: limit.rlim_max,
                ..limit
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            }
        }
    }
    limit.rlim_cur
}

/// Descriptors that are open now. Zero where `/proc` is not mounted.
pub(crate) fn open() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}
