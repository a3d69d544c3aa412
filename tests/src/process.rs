//! The real `shoal`, as processes: where the binary is, how it is started, followed and stopped.
//!
//! The binary is built once per test run by `cargo build --bin shoal`, in the target directory and the profile of the
//! running test, so that nothing is compiled twice; `SHOAL_BIN` names another one (a release build, another version).
//!
//! Invariants:
//! - A [`Process`] is killed when dropped; none outlives its test.
//! - Output is read as it is written: no process blocks on a full pipe because its test looks elsewhere.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;
use std::{env, thread};

pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};

use crate::PATIENCE;
use crate::place::Place;

/// The binary under test, built if need be.
///
/// # Panics
/// If it cannot be built.
pub fn shoal_path() -> &'static Path {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| match env::var_os("SHOAL_BIN") {
        Some(path) => Some(PathBuf::from(path)),
        None => build_shoal(),
    });
    // Tried once: every further test would wait for the same failure.
    binary.as_deref().expect("shoal builds")
}

/// A command that runs `shoal`.
pub fn shoal() -> Command {
    Command::new(shoal_path())
}

/// `shoal seed` of these .torrent files, with the data of `place`, on a loopback port that the kernel chooses and on two
/// cores, so that about half of all connections are handed over. Of an option that a test adds again, the last one counts.
pub fn shoal_seed<P: AsRef<Path>>(place: &Place, torrents: &[P]) -> Command {
    let mut command = shoal();
    add_seed_arguments(&mut command, place, torrents);
    command
}

/// As [`shoal_seed`], with at most `nofile` open descriptors (soft and hard limit, so that it cannot raise it).
pub fn shoal_seed_with_descriptors<P: AsRef<Path>>(nofile: u32, place: &Place, torrents: &[P]) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={nofile}:{nofile}"))
        .arg(shoal_path());
    add_seed_arguments(&mut command, place, torrents);
    command
}

fn add_seed_arguments<P: AsRef<Path>>(command: &mut Command, place: &Place, torrents: &[P]) {
    command.arg("seed").args(torrents.iter().map(AsRef::as_ref));
    command
        .arg("--data")
        .arg(place.data())
        .args(["--listen", "127.0.0.1:0", "--cores", "0,1"]);
}

/// Lets this test process open as many descriptors as the kernel allows it: hostile tests hold hundreds of connections,
/// and the usual soft limit is 1,024 for all tests together.
///
/// # Panics
/// If the hard limit is not a limit that the process may have.
pub fn allow_many_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .expect("the hard limit is allowed");
}

/// The target directory of the running test: it stands in `TARGET/PROFILE/deps/`.
///
/// # Panics
/// If the test was moved elsewhere.
pub fn target_directory() -> PathBuf {
    profile_directory()
        .parent()
        .expect("a profile stands in a target directory")
        .to_owned()
}

fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    test.parent()
        .and_then(Path::parent)
        .expect("a test stands in TARGET/PROFILE/deps")
        .to_owned()
}

fn build_shoal() -> Option<PathBuf> {
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("{} is no profile directory", directory.display()),
    };
    // The whole workspace is selected so that features unify as in the build of the tests, and nothing is built twice.
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "shoal",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target_directory())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status()
        .expect("cargo runs");
    built.success().then(|| directory.join("shoal"))
}

/// A running program whose output is followed line by line.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Results.
    pub stdout: Lines,
    /// Diagnostics.
    pub stderr: Lines,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Every line of its results.
    pub stdout: Vec<String>,
    /// Every line of its diagnostics.
    pub stderr: Vec<String>,
}

impl Process {
    /// Starts `command` without standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = Lines::follow(child.stdout.take().expect("a piped output"));
        let stderr = Lines::follow(child.stderr.take().expect("a piped output"));
        Process {
            name,
            child,
            stdout,
            stderr,
        }
    }

    /// The number the kernel knows it by.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running process takes a signal");
    }

    /// Whether it came to its end by itself.
    ///
    /// # Panics
    /// If the kernel does not know it.
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait();
        status.expect("a child can be looked at").is_some()
    }

    /// Ends it at this moment, if it has not ended by itself: kill -9.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for its end, at most [`PATIENCE`].
    ///
    /// # Panics
    /// If it is still running then, with everything it said.
    pub fn finish(mut self) -> Finished {
        // Both pipes close when the process ends; waiting for that has a deadline, which waitpid has not.
        if !(self.stdout.wait_for_end() && self.stderr.wait_for_end()) {
            panic!("{} did not end within {PATIENCE:?}\n{}", self.name, self.said());
        }
        let status = self.child.wait().expect("a child can be waited for");
        Finished {
            status,
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }

    /// Everything it has said so far, for the message of a failing test.
    pub fn said(&self) -> String {
        let mut said = String::new();
        for (name, lines) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in lines.all() {
                writeln!(said, "{name}: {line}").expect("a string grows");
            }
        }
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end, at most [`PATIENCE`].
///
/// # Panics
/// If it cannot be started or does not end.
pub fn run(command: Command) -> Finished {
    Process::start(command).finish()
}

/// A `shoal seed` that has said that it serves.
#[derive(Debug)]
pub struct Seed {
    process: Process,
    address: SocketAddr,
}

impl Seed {
    /// Starts it and waits for the line `ready ADDR:PORT`.
    ///
    /// # Panics
    /// If it ends, or says something else, before that line.
    pub fn start(command: Command) -> Seed {
        let process = Process::start(command);
        let Some(line) = process.stdout.wait_for(|_| true) else {
            panic!("no line `ready ADDR:PORT`\n{}", process.said());
        };
        let address = line
            .strip_prefix("ready ")
            .and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("not `ready ADDR:PORT`: {line}\n{}", process.said()));
        Seed { process, address }
    }

    /// Seeds all of `torrents` from `place` with the settings that have no reason to be others.
    pub fn of<P: AsRef<Path>>(place: &Place, torrents: &[P]) -> Seed {
        Seed::start(shoal_seed(place, torrents))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for a line of diagnostics that has `text` in it, and returns the line.
    ///
    /// # Panics
    /// If none comes within [`PATIENCE`].
    pub fn wait_for_diagnostic(&self, text: &str) -> String {
        let line = self.process.stderr.wait_for(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no diagnostic with {text:?}\n{}", self.process.said()))
    }

    /// Sends `signal` and waits for the end.
    pub fn stop(self, signal: Signal) -> Finished {
        self.process.signal(signal);
        self.process.finish()
    }
}

/// The lines of an output, collected by a thread of their own.
#[derive(Debug, Clone)]
pub struct Lines {
    shared: Arc<(Mutex<Collected>, Condvar)>,
}

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn follow(output: impl Read + Send + 'static) -> Lines {
        let lines = Lines {
            shared: Arc::default(),
        };
        let collector = lines.clone();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                line.clear();
                collector.update(|collected| collected.lines.push(text));
            }
            collector.update(|collected| collected.ended = true);
        });
        lines
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.shared.0.lock().expect("no collector panics").lines.clone()
    }

    /// The first line, past or future, that is accepted; `None` when the output ends or [`PATIENCE`] does.
    pub fn wait_for(&self, accept: impl Fn(&str) -> bool) -> Option<String> {
        self.wait(|collected| {
            let found = collected.lines.iter().find(|line| accept(line)).cloned();
            if found.is_some() || collected.ended {
                Some(found)
            } else {
                None
            }
        })
        .flatten()
    }

    fn wait_for_end(&self) -> bool {
        self.wait(|collected| collected.ended.then_some(())).is_some()
    }

    fn wait<T>(&self, mut decide: impl FnMut(&Collected) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let (collected, changed) = &*self.shared;
        let mut collected = collected.lock().expect("no collector panics");
        loop {
            if let Some(decision) = decide(&collected) {
                return Some(decision);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            collected = changed
                .wait_timeout(collected, left)
                .expect("no collector panics")
                .0;
        }
    }

    fn update(&self, change: impl FnOnce(&mut Collected)) {
        let (collected, changed) = &*self.shared;
        change(&mut collected.lock().expect("no test panics while it looks"));
        changed.notify_all();
    }
}
