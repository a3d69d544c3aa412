//! aria2, for checks only: as a seeder it unchokes four peers at a time, whatever it is told, and to fetch it needs a tracker.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Check, Client, ClientName, Job, metainfos, version_of};

/// aria2c in a process of its own.
#[derive(Debug)]
pub(super) struct Aria2 {
    pub(super) program: PathBuf,
}

impl Client for Aria2 {
    fn name(&self) -> ClientName {
        ClientName::Aria2
    }

    fn version(&self) -> Result<String> {
        version_of(&self.program, &["--version"])
    }

    fn seed(&self, _job: &Job<'_>) -> Result<Command> {
        bail!("aria2 serves four peers at a time and no setting changes that")
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        let mut command = Command::new(&self.program);
        command.args(["--no-conf", "--quiet", "--disable-ipv6", "--file-allocation=none"]);
        command.args([
            "--enable-dht=false",
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
        ]);
        command.args([
            "--check-integrity=true",
            "--hash-check-only=true",
            "--seed-time=0",
        ]);
        command.arg("--dir").arg(job.data).args(metainfos(job));
        Ok(Check::Exits(command))
    }

    fn fetch(&self, _job: &Job<'_>, _peers: &[SocketAddrV4]) -> Result<Command> {
        bail!("aria2 learns about peers from trackers only, and the bench has none")
    }
}
