//! The real clients that the interop tests run, and what to do when one is missing.
//!
//! `tools/test.sh` installs them; a test asks [`Client::find`] and returns early when the answer is `None`, which prints
//! `skip: NAME: reason`. Where `CI=true` a skip is a failure, so that no machine passes by having nothing installed.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::target_directory;

/// A program of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Python with the `libtorrent` module, running a script from `tests/interop`.
    Libtorrent,
    /// transmission-cli, one torrent per process.
    Transmission,
    /// aria2c.
    Aria2,
    /// mktorrent, which only creates.
    Mktorrent,
}

impl Client {
    /// A command for this client, or `None` after saying that the test is skipped.
    ///
    /// # Panics
    /// If the client is missing and `CI=true`.
    pub fn find(self) -> Option<Command> {
        let (name, program, probe) = match self {
            Client::Libtorrent => ("libtorrent", python(), ["-c", "import libtorrent"].as_slice()),
            Client::Transmission => (
                "transmission-cli",
                "transmission-cli".into(),
                ["--version"].as_slice(),
            ),
            Client::Aria2 => ("aria2", "aria2c".into(), ["--version"].as_slice()),
            // It has no question that it answers with success; being started is enough.
            Client::Mktorrent => ("mktorrent", "mktorrent".into(), ["-h"].as_slice()),
        };
        let mut probing = Command::new(&program);
        probing
            .args(probe)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match probing.status() {
            Ok(status) if status.success() || self == Client::Mktorrent => Some(Command::new(program)),
            Ok(_) => skip(name, "does not answer; tools/test.sh installs it"),
            Err(error) => skip(name, &format!("{error}; tools/test.sh installs it")),
        }
    }
}

/// Says that a test did not run, and why.
///
/// # Panics
/// If `CI=true`.
pub fn skip<T>(name: &str, reason: &str) -> Option<T> {
    assert!(
        env::var_os("CI").as_deref() != Some(OsStr::new("true")),
        "skip: {name}: {reason}"
    );
    // Written to the descriptor itself: the test runner keeps what a passing test prints with macros.
    writeln!(io::stderr(), "skip: {name}: {reason}").expect("standard error is open");
    None
}

/// The interpreter of the virtual environment that `tools/test.sh` makes, else the machine's.
fn python() -> PathBuf {
    let own = target_directory().join("venv/bin/python");
    if own.exists() { own } else { "python3".into() }
}
