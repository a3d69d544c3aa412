//! libtorrent-rasterbar through its Python bindings (PyPI `libtorrent`), driven by `libtorrent.py` beside this file.
//!
//! Python only sets it up and then sleeps; the work is done by libtorrent's own threads.

use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Check, Client, ClientName, Job, joined, metainfos, version_of};

const SCRIPT: &str = include_str!("libtorrent.py");

/// libtorrent in a Python process.
#[derive(Debug)]
pub(super) struct Libtorrent {
    pub(super) python: PathBuf,
}

impl Libtorrent {
    fn run(&self, job: &Job<'_>, task: &str, peers: &[SocketAddrV4]) -> Result<Command> {
        // Not libtorrent.py: Python would import the script itself instead of the library.
        let script = job.scratch.join("run_libtorrent.py");
        fs::write(&script, SCRIPT)?;
        let mut command = Command::new(&self.python);
        command
            .arg(script)
            .args([task, &job.address.to_string()])
            .arg(job.data)
            .arg(joined(peers))
            .args(metainfos(job));
        Ok(command)
    }
}

impl Client for Libtorrent {
    fn name(&self) -> ClientName {
        ClientName::Libtorrent
    }

    fn version(&self) -> Result<String> {
        version_of(
            &self.python,
            &["-c", "import libtorrent; print(libtorrent.__version__)"],
        )
        .context("`pip install libtorrent` gives this Python the library")
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        self.run(job, "seed", &[])
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        Ok(Check::Exits(self.run(job, "check", &[])?))
    }

    fn fetch(&self, job: &Job<'_>, peers: &[SocketAddrV4]) -> Result<Command> {
        self.run(job, "fetch", peers)
    }
}
