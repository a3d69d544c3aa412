//! transmission-daemon. It checks what its watch directory holds, and then seeds.

use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{CONNECTIONS_MAX, Check, Client, ClientName, Job, metainfos, version_of};

/// transmission-daemon in a process of its own.
#[derive(Debug)]
pub(super) struct Transmission {
    pub(super) program: PathBuf,
}

impl Transmission {
    fn daemon(&self, job: &Job<'_>) -> Result<Command> {
        let watched = job.scratch.join("watch");
        fs::create_dir_all(&watched)?;
        for metainfo in metainfos(job) {
            let name = metainfo.file_name().context("a metainfo file has a name")?;
            fs::copy(metainfo, watched.join(name))?;
        }
        let settings = json!({
            "bind-address-ipv4": job.address.ip().to_string(),
            "cache-size-mb": 64,
            "dht-enabled": false,
            "download-dir": job.data,
            "encryption": 0,
            "lpd-enabled": false,
            "peer-limit-global": CONNECTIONS_MAX,
            "peer-limit-per-torrent": CONNECTIONS_MAX,
            "peer-port": job.address.port(),
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "rpc-enabled": false,
            "start-added-torrents": true,
            "upload-slots-per-torrent": CONNECTIONS_MAX,
            "utp-enabled": false,
            "watch-dir": watched,
            "watch-dir-enabled": true,
        });
        fs::write(
            job.scratch.join("settings.json"),
            serde_json::to_vec_pretty(&settings)?,
        )?;
        let mut command = Command::new(&self.program);
        command.arg("--foreground").arg("--config-dir").arg(job.scratch);
        Ok(command)
    }
}

impl Client for Transmission {
    fn name(&self) -> ClientName {
        ClientName::Transmission
    }

    fn version(&self) -> Result<String> {
        version_of(&self.program, &["--version"])
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        self.daemon(job)
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        Ok(Check::Serves(self.daemon(job)?))
    }

    fn fetch(&self, _job: &Job<'_>, _peers: &[SocketAddrV4]) -> Result<Command> {
        bail!("Transmission learns about peers from trackers only, and takes none on loopback")
    }
}
