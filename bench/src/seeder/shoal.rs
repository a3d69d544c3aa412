//! shoal itself, through the command line that its users have: `shoal seed`, `shoal check`, `shoal download`.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use super::{Check, Client, ClientName, Job, metainfos, version_of};

/// The engine of this repository.
#[derive(Debug)]
pub(super) struct Shoal {
    given: Option<PathBuf>,
    arguments: Vec<String>,
    built: OnceLock<PathBuf>,
}

impl Shoal {
    /// Measures `given`, or what this workspace builds.
    pub(super) fn new(given: Option<PathBuf>, arguments: Vec<String>) -> Shoal {
        Shoal {
            given,
            arguments,
            built: OnceLock::new(),
        }
    }

    fn program(&self) -> Result<&Path> {
        if let Some(given) = &self.given {
            return Ok(given);
        }
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let built = build()?;
        Ok(self.built.get_or_init(|| built))
    }
}

/// Builds the release binary next to our own. Cargo does nothing when it is fresh, so a stale one is never measured.
fn build() -> Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let profile = ours.parent().context("an executable lies in a directory")?;
    let target = profile
        .parent()
        .context("cargo puts executables two directories deep")?;
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "shoal-cli",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .context("cargo does not run; name a built shoal with --shoal")?;
    ensure!(status.success(), "shoal does not build");
    Ok(target.join("release").join("shoal"))
}

fn core_list(job: &Job<'_>) -> String {
    let cores: Vec<String> = job.cores.iter().map(usize::to_string).collect();
    cores.join(",")
}

impl Client for Shoal {
    fn name(&self) -> ClientName {
        ClientName::Shoal
    }

    fn version(&self) -> Result<String> {
        version_of(self.program()?, &["--version"])
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command
            .arg("seed")
            .args(metainfos(job))
            .arg("--data")
            .arg(job.data);
        command.args([
            "--listen",
            &job.address.to_string(),
            "--cores",
            &core_list(job),
            "--trust",
        ]);
        command.args(&self.arguments);
        Ok(command)
    }

    fn check(&self, job: &Job<'_>) -> Result<Check> {
        let mut command = Command::new(self.program()?);
        command
            .arg("check")
            .args(metainfos(job))
            .arg("--data")
            .arg(job.data)
            .arg("--json");
        command.args(&self.arguments);
        Ok(Check::Exits(command))
    }

    fn fetch(&self, job: &Job<'_>, peers: &[SocketAddrV4]) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.arg("download").args(metainfos(job));
        command.arg("--out").arg(job.data);
        for peer in peers {
            command.args(["--peer", &peer.to_string()]);
        }
        command.args(["--listen", &job.address.to_string()]);
        command.args(["--cores", &core_list(job), "--json"]);
        command.args(&self.arguments);
        Ok(command)
    }

    fn ready_line(&self) -> Option<&'static str> {
        Some("ready ")
    }
}
