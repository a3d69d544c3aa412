//! rTorrent, as a daemon without its terminal. It checks what it loads (from the page cache, before the measured window)
//! and then seeds.

use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{CONNECTIONS_MAX, Check, Client, ClientName, Job, metainfos, version_of};

/// rTorrent in a process of its own.
#[derive(Debug)]
pub(super) struct Rtorrent {
    pub(super) program: PathBuf,
}

impl Rtorrent {
    fn daemon(&self, job: &Job<'_>) -> Result<Command> {
        let file = job.scratch.join("rtorrent.rc");
        fs::write(&file, settings(job))?;
        let mut command = Command::new(&self.program);
        command
            .args(["-n", "-o"])
            .arg(format!("import={}", file.display()));
        Ok(command)
    }
}

/// Its settings: no discovery, every connection gets a slot, and enough address space to keep the whole torrent mapped.
fn settings(job: &Job<'_>) -> String {
    let (address, port) = (job.address.ip(), job.address.port());
    let mut lines = vec![
        "system.daemon.set = true".to_owned(),
        format!("directory.default.set = {}", job.data.display()),
        format!("network.bind_address.set = {address}"),
        format!("network.port_range.set = {port}-{port}"),
        "network.port_random.set = no".to_owned(),
        format!("network.max_open_sockets.set = {CONNECTIONS_MAX}"),
        "dht.mode.set = disable".to_owned(),
        "protocol.pex.set = no".to_owned(),
        "trackers.use_udp.set = no".to_owned(),
        format!("throttle.max_peers.seed.set = {CONNECTIONS_MAX}"),
        format!("throttle.max_peers.normal.set = {CONNECTIONS_MAX}"),
        format!("throttle.max_uploads.set = {CONNECTIONS_MAX}"),
        format!("throttle.max_uploads.global.set = {CONNECTIONS_MAX}"),
        "throttle.global_up.max_rate.set_kb = 0".to_owned(),
        "pieces.memory.max.set = 16G".to_owned(),
    ];
    for (index, metainfo) in metainfos(job).enumerate() {
        lines.push(format!(
            "schedule2 = load{index},0,0,\"load.start={}\"",
            metainfo.display()
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

impl Client for Rtorrent {
    fn name(&self) -> ClientName {
        ClientName::Rtorrent
    }

    fn version(&self) -> Result<String> {
        version_of(&self.program, &["-h"])
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        self.daemon(job)
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        Ok(Check::Serves(self.daemon(job)?))
    }

    fn fetch(&self, _job: &Job<'_>, _peers: &[SocketAddrV4]) -> Result<Command> {
        bail!("rTorrent does not exit when it is done, and takes peers by XML-RPC only")
    }
}
