//! The real clients that the interop tests run, and what to do when one is missing.
//!
//! `tools/test.sh` installs them; a test asks [`Client::find`] and returns early when the answer is `None`, which prints
//! `skip: NAME: reason`. Where `CI=true` a skip is a failure, so that no machine passes by having nothing installed.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

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

/// aria2 fetching into `out`, told by the torrent's tracker alone, ending when it has everything. `None`, after saying so, where it
/// is missing.
pub fn aria2_fetch(out: &Path, torrent: &Path) -> Option<Command> {
    let mut client = Client::Aria2.find()?;
    client.args([
        "--no-conf",
        "--seed-time=0",
        "--file-allocation=none",
        "--summary-interval=0",
    ]);
    client.args([
        "--enable-dht=false",
        "--disable-ipv6=true",
        "--bt-enable-lpd=false",
    ]);
    client.args(["--enable-peer-exchange=false", "--console-log-level=error"]);
    client.arg("--dir").arg(out).arg(torrent);
    Some(client)
}

/// Transmission fetching into `out`, told by the torrent's tracker alone, with its settings in `configuration`. It goes on when it has
/// everything, which [`is_transmission_complete`] tells. `None`, after saying so, where it is missing.
///
/// # Panics
/// If `configuration` cannot be written to.
pub fn transmission_fetch(configuration: &Path, out: &Path, torrent: &Path) -> Option<Command> {
    let mut client = Client::Transmission.find()?;
    fs::write(configuration.join("settings.json"), TRANSMISSION_SETTINGS).expect("a writable place");
    client.arg("--config-dir").arg(configuration);
    client.arg("--download-dir").arg(out);
    client.arg("--no-portmap").arg(torrent);
    Some(client)
}

/// Whether Transmission says in this line of its diagnostics that it has everything.
pub fn is_transmission_complete(line: &str) -> bool {
    line.contains(r#"State changed from "Incomplete" to "Complete""#)
}

/// Nothing but the tracker, TCP, and a port for each of the processes that run side by side.
const TRANSMISSION_SETTINGS: &str = r#"{
    "dht-enabled": false,
    "lpd-enabled": false,
    "peer-port-random-on-start": true,
    "pex-enabled": false,
    "port-forwarding-enabled": false,
    "utp-enabled": false
}"#;

/// An address of this machine that is not loopback: Transmission takes no peer with an address in 127.0.0.0/8 from a
/// tracker. Packets to an own address stay inside the machine all the same.
pub fn address_beyond_loopback() -> Option<Ipv4Addr> {
    // Connecting a UDP socket sends nothing; it asks the kernel which address it would use (192.0.2.0/24: RFC 5737).
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    match asked {
        Ok(SocketAddr::V4(own)) if !own.ip().is_loopback() => Some(*own.ip()),
        Ok(_) | Err(_) => skip(
            "transmission-cli",
            "it needs an address that is not loopback, and there is none",
        ),
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
