//! Error numbers of Linux (`errno.h`), for a world that asks no kernel.

use shoal_world::Errno;

/// No such file or directory.
pub const ENOENT: Errno = Errno(2);
/// Input or output error.
pub const EIO: Errno = Errno(5);
/// Out of memory.
pub const ENOMEM: Errno = Errno(12);
/// The process has no descriptors left.
pub const EMFILE: Errno = Errno(24);
/// No space left on the device.
pub const ENOSPC: Errno = Errno(28);
/// Written to a stream that was finished.
pub const EPIPE: Errno = Errno(32);
/// The network stack has no buffers left.
pub const ENOBUFS: Errno = Errno(105);
/// The other side broke the connection.
pub const ECONNRESET: Errno = Errno(104);
/// No answer in time.
pub const ETIMEDOUT: Errno = Errno(110);
/// Nobody listens there.
pub const ECONNREFUSED: Errno = Errno(111);
