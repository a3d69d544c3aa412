//! The real `shoal download`: how it is started, what it says, where its state is.
//!
//! What it says is looked at as text, line by line: a test compares a few words of an event, and the rest of the
//! event belongs to `commands.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Finished, Process, shoal};
use crate::sample::Sample;

/// `shoal download --json` of this .torrent file into `out`, from these peers, on one core and a loopback port that the
/// kernel chooses. Of an option that a test adds again, the last one counts.
pub fn shoal_download(torrent: &Path, out: &Path, peers: &[SocketAddr]) -> Command {
    let mut command = shoal();
    add_download_arguments(&mut command, torrent, out, peers);
    command
}

fn add_download_arguments(command: &mut Command, torrent: &Path, out: &Path, peers: &[SocketAddr]) {
    command.arg("download").arg(torrent).arg("--out").arg(out);
    command.args(["--listen", "127.0.0.1:0", "--cores", "0", "--json"]);
    for peer in peers {
        command.args(["--peer", &peer.to_string()]);
    }
}

/// Where `shoal download` keeps what it knows to be durable.
pub fn state_path(out: &Path, sample: &Sample) -> PathBuf {
    let hash: String = sample
        .info_hash()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    out.join(format!(".shoal-{hash}.state"))
}

/// Whether a line of `--json` is this event.
pub fn is_event(line: &str, event: &str) -> bool {
    line.contains(&format!(r#""event":"{event}""#))
}

/// Waits for an event and returns its line.
///
/// # Panics
/// If it does not come within [`PATIENCE`](crate::PATIENCE), with everything the process said.
pub fn wait_for_event(process: &Process, event: &str) -> String {
    let line = process.stdout.wait_for(|line| is_event(line, event));
    line.unwrap_or_else(|| panic!("no event {event:?}\n{}", process.said()))
}

/// The lines of an event.
pub fn events<'f>(finished: &'f Finished, event: &'f str) -> impl Iterator<Item = &'f str> {
    let lines = finished.stdout.iter().map(String::as_str);
    lines.filter(move |line| is_event(line, event))
}

/// Fails if the download did not end as one that has everything.
///
/// # Panics
/// If it failed, or something of it is missing or differs in `out`.
pub fn assert_fetched(finished: &Finished, sample: &Sample, out: &Path) {
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert_eq!(events(finished, "finished").count(), 1, "{finished:#?}");
    sample.assert_present_in(out);
}
