//! rqbit, as `rqbit download`. To seed it is given data that is already complete: it checks, and then seeds until it is
//! killed.
//!
//! It has no way to trust data, so it checks before every run; that happens before the measured window.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{CONNECTIONS_MAX, Check, Client, ClientName, Job, joined, metainfos, version_of};

/// rqbit in a process of its own.
#[derive(Debug)]
pub(super) struct Rqbit {
    pub(super) program: PathBuf,
}

impl Rqbit {
    fn download(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "-v",
            "error",
            "--disable-dht",
            "--disable-lsd",
            "--disable-trackers",
        ]);
        command.args(["--disable-upnp-port-forward", "--ipv4-only"]);
        // Its own 10 s close connections that wait their turn among a thousand, or on a machine that others use.
        command.args(["--peer-read-write-timeout", "120s"]);
        command.args(["--peer-limit", &CONNECTIONS_MAX.to_string()]);
        command.args(["--listen-ip", &job.address.ip().to_string()]);
        command.args(["--listen-port", &job.address.port().to_string()]);
        command
            .args(["download", "--overwrite", "--disable-http-api", "--output-folder"])
            .arg(job.data);
        command
    }
}

impl Client for Rqbit {
    fn name(&self) -> ClientName {
        ClientName::Rqbit
    }

    fn version(&self) -> Result<String> {
        version_of(&self.program, &["--version"])
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        let mut command = self.download(job);
        command.args(metainfos(job));
        Ok(command)
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        let mut command = self.download(job);
        command.arg("--exit-on-finish").args(metainfos(job));
        Ok(Check::Exits(command))
    }

    fn fetch(&self, job: &Job<'_>, peers: &[SocketAddrV4]) -> Result<Command> {
        let mut command = self.download(job);
        command.args(["--exit-on-finish", "--initial-peers", &joined(peers)]);
        command.args(metainfos(job));
        Ok(command)
    }
}
