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
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

use super::Job;
use crate::data::Torrent;
use crate::load::wire::{self, Deframer, Event, Extensions, HANDSHAKE_LEN, Message};

/// How long a client may take until it serves. The slowest checks 4 GiB on one core first, in about ten seconds.
const READY_MAX: Duration = Duration::from_secs(180);

/// How often a client is asked whether it serves yet.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a client may take to answer when asked: those that are busy with a check answer late.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A running client.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
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
    pub(crate) fn wait(&mut self) -> Result<(ExitStatus, Duration)> {
        let before = children_cpu()?;
        let status = self.child.wait()?;
        Ok((status, children_cpu()? - before))
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

/// CPU time of all children that have ended and were waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let total = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(u64::try_from(
        nix::sys::time::TimeValLike::num_microseconds(&total),
    )?))
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
