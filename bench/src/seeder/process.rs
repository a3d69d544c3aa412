//! Starts a client on its cores, waits until it serves, and makes sure that it ends.
//!
//! Nothing outlives the bench: dropping a [`Process`] kills it, and if the bench itself dies without dropping anything
//! (SIGINT, SIGKILL, a panic while panicking), the kernel does, because every client is started through
//! `setpriv --pdeathsig`. It is pinned by `taskset` before its first instruction, so that all threads it makes inherit
//! that. Both replace themselves by the client: the process id is the client's own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::Job;
use crate::data::Torrent;
use crate::load::wire::{self, Deframer, Event, Extensions, HANDSHAKE_LEN, Message};
use crate::measure::{CpuTime, Memory, monotonic, written_len};

/// How long a client may take until it serves. The slowest checks 4 GiB on one core first, in about ten seconds.
const READY_MAX: Duration = Duration::from_secs(180);

/// How often a client is asked whether it serves yet.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a client may take until it is done. The slowest fetches at 50 MiB/s: 4 GiB in a minute and a half.
const END_MAX: Duration = Duration::from_secs(600);

/// How often one looks whether a client is done, which is how exactly its time is known.
const WATCH_INTERVAL: Duration = Duration::from_millis(5);

/// How long a client may take to answer when asked: those that are busy with a check answer late.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A running client.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// What the whole life of a client cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// When it had ended, by [`monotonic`].
    pub(crate) ended: Duration,
    /// CPU time of its process and of children that it waited for.
    pub(crate) cpu: CpuTime,
    /// The most memory that was ever resident, mapped file pages included.
    pub(crate) resident_peak_kib: u64,
    /// Bytes that it had the kernel write.
    pub(crate) written_len: u64,
}

impl Process {
    /// Starts a client on the cores of its job.
    pub(crate) fn start(command: &Command, job: &Job<'_>) -> Result<Process> {
        let log = job.scratch.join("log");
        let output = File::create(&log)?;
        let child = confined(command, job.cores)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start it (setpriv and taskset of util-linux are needed)")?;
        Ok(Process { child, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until it serves every torrent of the job completely; first for the line, if it prints one.
    pub(crate) fn wait_until_ready(&mut self, job: &Job<'_>, line: Option<&str>) -> Result<()> {
        if let Some(line) = line {
            self.poll("print that it is ready", |process| {
                let output = fs::read_to_string(&process.log).unwrap_or_default();
                output.lines().any(|printed| printed.starts_with(line))
            })?;
        }
        for torrent in job.torrents {
            self.poll("serve the torrent", |_| {
                seeds(job.address, torrent).unwrap_or(false)
            })?;
        }
        Ok(())
    }

    fn poll(&mut self, what: &str, mut done: impl FnMut(&Process) -> bool) -> Result<()> {
        let begin = Instant::now();
        while !done(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status}); its last words: {}", self.last_words());
            }
            ensure!(
                begin.elapsed() < READY_MAX,
                "it did not {what} in {READY_MAX:?}: {}",
                self.last_words()
            );
            thread::sleep(ASK_INTERVAL);
        }
        Ok(())
    }

    /// Waits for its end and returns how it ended and the CPU time that it used in its life.
    pub(crate) fn wait(&mut self) -> Result<(ExitStatus, CpuTime)> {
        let before = CpuTime::of_children()?;
        let status = self.child.wait()?;
        Ok((status, CpuTime::of_children()?.since(before)))
    }

    /// Waits for its end, which must be a success, and watches what it costs on the way.
    pub(crate) fn watch(&mut self) -> Result<Cost> {
        let begin = Instant::now();
        let mut resident_peak_kib = 0;
        while !self.has_ended()? {
            ensure!(
                begin.elapsed() < END_MAX,
                "it did not end in {END_MAX:?}: {}",
                self.last_words()
            );
            // What it grows by in the last interval is missed; while it ends it has no memory any more.
            resident_peak_kib = resident_peak_kib.max(Memory::resident_peak_kib(self.id())?);
            thread::sleep(WATCH_INTERVAL);
        }
        let ended = monotonic()?;
        let written_len = written_len(self.id())?;
        let (status, cpu) = self.wait()?;
        ensure!(
            status.success(),
            "it ended ({status}); its last words: {}",
            self.last_words()
        );
        Ok(Cost {
            ended,
            cpu,
            resident_peak_kib,
            written_len,
        })
    }

    /// Whether it has, without taking note of it: `/proc` still tells about it.
    fn has_ended(&self) -> Result<bool> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        Ok(waitid(Id::Pid(self.id()), flags)? != WaitStatus::StillAlive)
    }

    /// The lines that it has printed until now.
    pub(crate) fn lines(&self) -> Result<Vec<String>> {
        Ok(fs::read_to_string(&self.log)?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 3;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => "none".to_owned(),
            len => lines[len.saturating_sub(LINES)..].join(" | "),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command, on these cores only and not outliving us.
fn confined(command: &Command, cores: &[usize]) -> Command {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut confined = Command::new("setpriv");
    confined.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &list.join(",")]);
    confined.arg(command.get_program()).args(command.get_args());
    // A group of its own keeps it from getting the terminal's signals before we are done with it.
    confined.process_group(0);
    confined
}

/// A loopback address where nobody listens at the moment.
pub(crate) fn free_address() -> Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddrV4::new(
        Ipv4Addr::LOCALHOST,
        listener.local_addr()?.port(),
    ))
}

/// Whether whoever listens there says that it has the whole torrent.
fn seeds(address: SocketAddrV4, torrent: &Torrent) -> Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address.into(), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let offered = Extensions {
        fast: true,
        extended: false,
    };
    stream.write_all(&wire::handshake(
        torrent.info_hash,
        *b"-sB0001-probeprobe00",
        offered,
    ))?;
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs)?;
    stream.write_all(&wire::opening(
        offered.and(wire::read_handshake(&theirs, torrent.info_hash)?),
    ))?;
    has_everything(&mut stream, torrent.shape.pieces())
}

fn has_everything(stream: &mut TcpStream, pieces: u32) -> Result<bool> {
    let mut deframer = Deframer::new();
    let mut have = 0;
    let mut buffer = [0; 4096];
    while have < pieces {
        let taken = stream.read(&mut buffer)?;
        if taken == 0 {
            return Ok(false);
        }
        let mut input = &buffer[..taken];
        while let Some(event) = deframer.next(&mut input)? {
            match event {
                Event::Message(Message::HaveAll) => have = pieces,
                Event::Message(Message::Bitfield(bits)) => {
                    have = bits.iter().map(|byte| byte.count_ones()).sum();
                }
                Event::Message(Message::Have(_)) => have += 1,
                _ => {}
            }
        }
    }
    Ok(true)
}
