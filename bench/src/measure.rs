//! What a process costs: CPU time and memory as Linux accounts them, and the machine it ran on.
//!
//! CPU time comes from the process's own CPU clock, which has nanoseconds and includes threads that have ended. It
//! contains all kernel work done on the process's behalf: on loopback also the TCP receive path up to the other socket,
//! which runs in the sender's context. It does not contain kernel threads (io_uring's workers do belong to the process).
//!
//! Memory has two faces. The peak resident set counts file pages that the kernel may drop at any time when a client maps
//! its files; [`Memory::held_kib`] counts only what nobody else can have: anonymous memory and shared memory, including
//! the pages of a memfd that is not mapped, which no other figure of the kernel shows.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The unit of `st_blocks`, by POSIX, in bytes.
const STAT_BLOCK_LEN: u64 = 512;

/// `USER_HZ`, the unit of /proc/stat: 100 on every architecture that Linux has.
const TICKS_PER_S: u64 = 100;

/// Keeps the calling thread on these cores.
pub(crate) fn pin_this_thread(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on cores {cores:?}"))
}

/// Allows as many descriptors as the system lets us have: a thousand connections need two thousand.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// CPU time of a process and all of its threads since it began.
pub(crate) fn cpu_time(process: Pid) -> Result<Duration> {
    let clock = clock_getcpuclockid(process).context("the process is gone")?;
    Ok(clock_gettime(clock)?.into())
}

/// CLOCK_MONOTONIC, which all processes share.
pub(crate) fn monotonic() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// CPU time by where it was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// In the program.
    pub(crate) user: Duration,
    /// In the kernel on its behalf.
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Of all children that have ended and were waited for.
    pub(crate) fn of_children() -> Result<CpuTime> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let duration = |time: TimeVal| u64::try_from(time.num_microseconds()).map(Duration::from_micros);
        Ok(CpuTime {
            user: duration(usage.user_time())?,
            system: duration(usage.system_time())?,
        })
    }

    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }

    /// Both.
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Bytes that a process had the kernel write to disks: buffered ones count when they are made dirty. It may have ended, if
/// nobody has waited for it yet.
pub(crate) fn written_len(process: Pid) -> Result<u64> {
    let io =
        fs::read_to_string(format!("/proc/{process}/io")).context("/proc does not tell what it wrote")?;
    labelled(&io, "write_bytes")
        .and_then(|value| value.parse().ok())
        .context("/proc/PID/io has no write_bytes")
}

/// CPU time that it takes to get memory that was free for a while, per GiB: 0.2 to 0.4 s of zeroing and copying on a machine
/// that owns its memory. Under a hypervisor that takes free memory back (free page reporting) every page is a fault that
/// the host serves, which costs ten times as much and is charged to whoever touches it first.
pub(crate) fn fresh_memory_s_per_gib() -> Result<f64> {
    // More than the kernel lets wait before it is reported: 1 GiB where this was written.
    const TOUCHED: u32 = 2;
    let touched = vec![0; 1 << 20];
    let mut memfd = File::from(memfd_create(c"fresh-memory", MFdFlags::MFD_CLOEXEC)?);
    let before = cpu_time(Pid::this())?;
    for _ in 0..TOUCHED << 10 {
        memfd.write_all(&touched)?;
    }
    Ok((cpu_time(Pid::this())? - before).as_secs_f64() / f64::from(TOUCHED))
}

/// Time that these cores could not idle since the machine booted: they worked for somebody, or the hypervisor gave them to
/// another machine while they had work. In steps of 10 ms, which is the kernel's.
pub(crate) fn core_time(cores: &[usize]) -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: u64 = cores.iter().filter_map(|core| busy_ticks(&stat, *core)).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
}

/// user, nice, system, irq, softirq and steal of one core, by proc_stat(5).
fn busy_ticks(stat: &str, core: usize) -> Option<u64> {
    let label = format!("cpu{core}");
    let fields = stat.lines().map(|line| line.split_whitespace());
    let mut fields = fields
        .filter_map(|mut fields| (fields.next()? == label).then_some(fields))
        .next()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = std::array::from_fn(|_| {
        fields
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    });
    Some(user + nice + system + irq + softirq + steal)
}

/// Memory of a process at one moment, in KiB (the kernel's unit), and the highest it has been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// VmHWM: the most that was ever resident, mapped file pages included.
    pub(crate) resident_peak_kib: u64,
    /// RssAnon: private memory.
    pub(crate) anonymous_kib: u64,
    /// RssFile: mapped pages of files, which the kernel may drop.
    pub(crate) file_kib: u64,
    /// RssShmem: mapped shared memory.
    pub(crate) shared_kib: u64,
    /// Pages of the process's memfds, mapped or not.
    pub(crate) memfd_kib: u64,
}

impl Memory {
    /// Reads what `/proc` tells about a process.
    pub(crate) fn of(process: Pid) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
        let memory = Memory {
            memfd_kib: memfd_kib(process)?,
            ..Memory::parse(&status)
        };
        Ok(memory)
    }

    /// The most that was ever resident, alone: cheap enough to ask again and again.
    pub(crate) fn resident_peak_kib(process: Pid) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
        Ok(Memory::parse(&status).resident_peak_kib)
    }

    /// Memory that nobody else can have while the process lives. A mapped memfd counts once.
    pub(crate) fn held_kib(&self) -> u64 {
        self.anonymous_kib + self.shared_kib.max(self.memfd_kib)
    }

    fn parse(status: &str) -> Memory {
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Memory {
            resident_peak_kib: field("VmHWM"),
            anonymous_kib: field("RssAnon"),
            file_kib: field("RssFile"),
            shared_kib: field("RssShmem"),
            memfd_kib: 0,
        }
    }
}

/// Pages that the memfds of a process hold, in KiB; the same one behind two descriptors counts once.
fn memfd_kib(process: Pid) -> Result<u64> {
    let mut blocks = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        blocks.extend(memfd_blocks(&entry?.path()));
    }
    Ok(blocks.values().sum::<u64>() * STAT_BLOCK_LEN / 1024)
}

/// Inode and blocks of what a descriptor's entry in `/proc` leads to, if that is a memfd.
fn memfd_blocks(descriptor: &Path) -> Option<(u64, u64)> {
    // Both fail when the descriptor is closed between two looks.
    let link = fs::read_link(descriptor).ok()?;
    let metadata = fs::metadata(descriptor).ok()?;
    link.to_string_lossy()
        .starts_with("/memfd:")
        .then(|| (metadata.ino(), metadata.blocks()))
}

/// Where the numbers were measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// Model name of the first CPU.
    pub(crate) cpu: String,
    /// CPUs that this process may use.
    pub(crate) cores: usize,
    /// Memory of the machine, in MiB.
    pub(crate) memory_mib: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// File system of the work directory and the device below it.
    pub(crate) disk: String,
    /// When the run began (UTC).
    pub(crate) date: String,
    /// The command line.
    pub(crate) command: String,
}

impl Machine {
    /// Describes this machine and this run.
    pub(crate) fn describe(work: &Path) -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let memory_kib: u64 = labelled(&meminfo, "MemTotal")
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Machine {
            cpu: labelled(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib >> 10,
            kernel: kernel.trim().to_owned(),
            disk: output_of(
                "findmnt",
                &["-no", "FSTYPE,SOURCE", "-T", &work.to_string_lossy()],
            ),
            date: output_of("date", &["-u", "+%Y-%m-%d %H:%M"]),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        }
    }
}

/// The value of a `label : value` line.
fn labelled<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(label))?;
    Some(line.split_once(':')?.1.trim())
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let words = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.is_empty() {
        "unknown".to_owned()
    } else {
        words.join(" ")
    }
}
