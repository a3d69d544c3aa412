//! Making a ring, or saying exactly why there is none.
//!
//! Flags are asked for from the newest kernel's set downwards until the kernel accepts them; the floor is 6.1, below
//! which a ring lacks what the engine cannot do without. When the kernel refuses altogether, [`Refused`] tells apart
//! who refuses (an old kernel, a sysctl, a seccomp filter, the locked-memory limit) and what to do about it.
//!
//! It is not the place where memory or files are registered.

use std::fs;
use std::io;

use io_uring::{Builder, IoUring, squeue};

/// Submission entries: more operations than one turn emits at the measured loads (1,000 connections: about 300).
/// A turn that emits more submits in between.
pub(crate) const SUBMISSIONS_LEN: u32 = 1024;

/// Completion entries: one multishot receive per connection may complete in the same moment, for 10,000 connections.
pub(crate) const COMPLETIONS_LEN: u32 = 16_384;

/// The kernel's default allows as many worker threads as processes. Opens and lookups are all that needs them here.
const WORKERS_BOUNDED_MAX: u32 = 8;

/// Unbounded work (sockets without poll support) does not exist here; one thread is the minimum that may be set.
const WORKERS_UNBOUNDED_MAX: u32 = 1;

/// Oldest kernel with deferred task running, single issuers and every multishot operation used.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Why there is no ring here, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The kernel is older than 6.1.
    #[error("the kernel is {0}, and shoal needs Linux 6.1 or later: boot a newer kernel")]
    OldKernel(String),
    /// `kernel.io_uring_disabled` forbids it.
    #[error(
        "the administrator switched io_uring off (kernel.io_uring_disabled = {0}): \
         run `sysctl kernel.io_uring_disabled=0`{1}"
    )]
    Sysctl(u32, &'static str),
    /// A seccomp filter forbids it, as container runtimes do by default.
    #[error(
        "a seccomp filter of this container or service forbids io_uring ({0}): allow io_uring_setup, io_uring_enter \
         and io_uring_register in its profile (Docker: --security-opt seccomp=PROFILE.json)"
    )]
    Seccomp(io::Error),
    /// The kernel has no io_uring, or hides it.
    #[error("this kernel was built without io_uring (CONFIG_IO_URING): boot one that has it")]
    Absent,
    /// Locked memory is limited.
    #[error(
        "the limit of locked memory is too low for a ring: set `LimitMEMLOCK=infinity` or `ulimit -l unlimited`"
    )]
    LockedMemory,
    /// Something else.
    #[error("io_uring cannot be set up here ({0})")]
    Other(#[from] io::Error),
}

/// A ring for the calling thread, which alone may use it.
pub(crate) fn ring() -> Result<IoUring, Refused> {
    let release = kernel_release();
    if parse_release(&release).is_some_and(|version| version < KERNEL_MIN) {
        return Err(Refused::OldKernel(release));
    }
    let ring = build_stepwise().map_err(|error| explain(error, &surroundings()))?;
    // Kernels that know rings but not this registration are below the floor; elsewhere the default stands.
    let _ = ring
        .submitter()
        .register_iowq_max_workers(&mut [WORKERS_BOUNDED_MAX, WORKERS_UNBOUNDED_MAX]);
    Ok(ring)
}

/// From the newest set of flags to the floor: each step drops what a kernel before it does not know.
fn build_stepwise() -> io::Result<IoUring> {
    let ladder: [fn(&mut Builder<squeue::Entry>); 2] = [
        // Linux 6.6: no indirection array.
        |builder| {
            builder.setup_no_sqarray();
        },
        // Linux 6.1.
        |_| {},
    ];
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for step in ladder {
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_cqsize(COMPLETIONS_LEN)
            .setup_submit_all()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_defer_taskrun();
        step(&mut builder);
        match builder.build(SUBMISSIONS_LEN) {
            Ok(ring) => return Ok(ring),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// What the process can see of who might have refused.
struct Surroundings {
    /// `kernel.io_uring_disabled`: 0 allowed, 1 for a group and the privileged, 2 for nobody.
    io_uring_disabled: u32,
    /// A seccomp filter is installed on this process.
    seccomp: bool,
}

fn surroundings() -> Surroundings {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map(str::trim);
    Surroundings {
        io_uring_disabled: disabled.trim().parse().unwrap_or(0),
        seccomp: mode.is_some_and(|mode| mode != "0"),
    }
}

fn explain(error: io::Error, around: &Surroundings) -> Refused {
    match error.raw_os_error() {
        Some(libc::EPERM) if around.io_uring_disabled == 2 => Refused::Sysctl(2, ""),
        Some(libc::EPERM) if around.io_uring_disabled == 1 => Refused::Sysctl(
            1,
            ", or put this user into the group that kernel.io_uring_group names",
        ),
        Some(libc::EPERM | libc::EACCES) => Refused::Seccomp(error),
        Some(libc::ENOSYS) if around.seccomp => Refused::Seccomp(error),
        Some(libc::ENOSYS) => Refused::Absent,
        Some(libc::ENOMEM) => Refused::LockedMemory,
        _ => Refused::Other(error),
    }
}

fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Major and minor of a release such as `6.18.44-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests;
