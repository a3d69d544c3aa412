//! What this machine offers, and what the settings left to it (`auto`) come to.
//!
//! CPUs are those the process may run on (its affinity mask), memory is the least of what the machine has and what
//! the control groups above the process allow, so that a container of 512 MiB on a large host is not taken for the
//! host. Read once at the start; nothing here follows later changes.

use crate::config::{Auto, Config};
use shoal_uring::scan;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

/// The cache's share of the memory: a quarter leaves room for the page cache and for other programs.
const CACHE_MEMORY_SHARE: u64 = 4;

/// The cache's size when left to the machine is at most this: filling it is not free, and who has more to give says so.
const CACHE_SIZE_AUTO_MAX: u64 = 1 << 30;

/// A CPU was asked for that this process may not run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "CPU {missing} is not among those this process may run on ({})",
    crate::config::write_cores(allowed)
)]
pub struct CpuMissing {
    /// The CPU asked for.
    pub missing: usize,
    /// The CPUs there are.
    pub allowed: Vec<usize>,
}

impl Config {
    /// The CPUs that run the engine, ascending, at least one.
    ///
    /// # Errors
    /// A configured CPU does not exist, or is not allowed to this process.
    pub fn cpus(&self) -> Result<Vec<usize>, CpuMissing> {
        let allowed = cpus_allowed();
        let Auto::Fixed(chosen) = &self.cores else {
            return Ok(allowed);
        };
        match chosen.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(missing) => Err(CpuMissing {
                missing: *missing,
                allowed,
            }),
            None => Ok(chosen.clone()),
        }
    }

    /// The size of the cache in bytes.
    #[must_use]
    pub fn cache_size_bytes(&self) -> u64 {
        match self.cache_size {
            Auto::Fixed(size) => size,
            Auto::Auto => (memory_bytes() / CACHE_MEMORY_SHARE).min(CACHE_SIZE_AUTO_MAX),
        }
    }

    /// How torrents are read when they are created or checked.
    #[must_use]
    pub fn scan_options(&self) -> scan::Options {
        scan::Options {
            threads: match self.hashing_threads {
                Auto::Fixed(threads) => NonZeroUsize::new(threads as usize),
                Auto::Auto => None,
            },
            memory_len: usize::try_from(self.hashing_memory).unwrap_or(usize::MAX),
            io_mode: self.io_mode,
        }
    }
}

/// The CPUs this process may run on, ascending. CPU 0 where the kernel does not tell.
fn cpus_allowed() -> Vec<usize> {
    let mut cpus: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    cpus.sort_unstable();
    if cpus.is_empty() {
        cpus.push(0);
    }
    cpus
}

/// The memory this process can count on, in bytes.
fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| memory_total(&text));
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| control_group(&text).map(str::to_owned))
        .and_then(|group| control_group_limit(Path::new("/sys/fs/cgroup"), &group));
    // Without either file this is no Linux that shoal knows; the least machine it is meant for has 512 MiB.
    machine.into_iter().chain(group).min().unwrap_or(512 << 20)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The path of the process in the unified hierarchy, from `/proc/self/cgroup` (cgroups(7): the line `0::PATH`).
fn control_group(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// The least `memory.max` of a group and all above it. A group without a limit says `max`.
fn control_group_limit(root: &Path, group: &str) -> Option<u64> {
    let leaf = root.join(group);
    let limit = |directory: &Path| -> Option<u64> {
        fs::read_to_string(directory.join("memory.max"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    leaf.ancestors()
        .take_while(|directory| directory.starts_with(root))
        .filter_map(limit)
        .min()
}

#[cfg(test)]
mod tests;
