//! What a download shows: a bar on a terminal, events for programs, and one line at the end.
//!
//! It is told what happens and looks at nothing itself but the time. Without `--json` and without a terminal it is silent
//! until the end, but for what somebody may have to act on, and for a move, which may take its time.

use super::meter::Meter;
use super::selection::Selection;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Activity, FetchBar};
use serde_json::{Value, json};
use shoal::printable::{Printable, PrintablePath};
use shoal::torrent::TorrentReport;
use shoal::units::rounded_size;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::Metainfo;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a program hears how far it is.
const EVENT_PERIOD: Duration = Duration::from_secs(1);

/// A torrent at a moment.
pub(super) struct Status {
    pub(super) have: Bitfield,
    /// Nothing when it is not served any more.
    pub(super) report: Option<TorrentReport>,
}

/// Shows one download.
pub(super) struct Display<'a> {
    metainfo: &'a Metainfo,
    selection: &'a Selection,
    json: bool,
    /// On a terminal, while it is fetched.
    bar: Option<FetchBar>,
    began: Instant,
    /// How long it took to fetch, once all is there.
    took: Option<Duration>,
    /// When a program heard last how far it is.
    told: Option<Instant>,
    downloaded: Meter,
    uploaded: Meter,
    now: Now,
}

/// What is known of the download.
#[derive(Debug, Default)]
struct Now {
    bytes_done: u64,
    downloaded_bytes: u64,
    uploaded_bytes: u64,
    peers: u32,
    /// Why nothing is fetched, as long as nothing is.
    paused: Option<String>,
}

impl<'a> Display<'a> {
    pub(super) fn new(metainfo: &'a Metainfo, selection: &'a Selection, json: bool) -> Display<'a> {
        Display {
            metainfo,
            selection,
            json,
            bar: None,
            began: Instant::now(),
            took: None,
            told: None,
            downloaded: Meter::default(),
            uploaded: Meter::default(),
            now: Now::default(),
        }
    }

    /// It is known what is there.
    pub(super) fn started(&mut self, have: &Bitfield, out: &Path) -> Result<(), Failure> {
        self.began = Instant::now();
        self.took = None;
        self.now.bytes_done = self.selection.bytes_done(self.metainfo, have);
        self.draw();
        self.event(json!({
            "event": "started",
            "name": self.metainfo.name(),
            "info_hash": self.metainfo.info_hash().to_string(),
            "out": out.to_string_lossy(),
            "size_bytes": self.metainfo.layout().total_len(),
            "pieces": have.pieces(),
            "pieces_have": have.count(),
            "bytes_done": self.now.bytes_done,
            "bytes_wanted": self.selection.bytes,
        }))
    }

    /// Takes new figures.
    pub(super) fn note(&mut self, status: &Status) {
        let at = Instant::now();
        self.now.bytes_done = self.selection.bytes_done(self.metainfo, &status.have);
        if let Some(report) = &status.report {
            self.now.downloaded_bytes = report.downloaded_bytes;
            self.now.uploaded_bytes = report.uploaded_bytes;
            self.now.peers = report.peers;
        }
        self.downloaded.look(at, self.now.downloaded_bytes);
        self.uploaded.look(at, self.now.uploaded_bytes);
    }

    /// Takes new figures, and shows them where that is due.
    pub(super) fn look(&mut self, status: &Status) -> Result<(), Failure> {
        self.note(status);
        self.draw();
        let due = self.told.is_none_or(|told| told.elapsed() >= EVENT_PERIOD);
        if self.json && due {
            self.told = Some(Instant::now());
            self.event(self.progress())?;
        }
        Ok(())
    }

    pub(super) fn paused(&mut self, reason: &str) -> Result<(), Failure> {
        self.diagnostic(&format!(
            "paused: {reason}; it goes on by itself when that is over"
        ));
        self.now.paused = Some(reason.to_owned());
        self.draw();
        self.event(json!({ "event": "paused", "reason": reason }))
    }

    pub(super) fn resumed(&mut self) -> Result<(), Failure> {
        self.diagnostic("resumed");
        self.now.paused = None;
        self.draw();
        self.event(json!({ "event": "resumed" }))
    }

    pub(super) fn peer_banned(&mut self, address: SocketAddr) -> Result<(), Failure> {
        self.diagnostic(&format!(
            "{address} sent wrong bytes and is not talked to any more"
        ));
        self.event(json!({ "event": "peer_banned", "address": address.to_string() }))
    }

    /// Something that somebody should know, and that does not end the download.
    pub(super) fn warning(&mut self, sentence: &str) -> Result<(), Failure> {
        self.diagnostic(sentence);
        self.event(json!({ "event": "warning", "message": sentence }))
    }

    /// All that is wanted is there and is carried to a folder from now on, which may take as long as copying it does.
    pub(super) fn moving(&mut self, folder: &Path) -> Result<(), Failure> {
        self.took.get_or_insert(self.began.elapsed());
        self.bar = None;
        output::diagnostic(format!("moving to {}", PrintablePath(folder)));
        self.event(json!({ "event": "moving", "folder": folder.to_string_lossy() }))
    }

    /// It is there.
    pub(super) fn moved(&self, folder: &Path) -> Result<(), Failure> {
        self.event(json!({ "event": "moved", "folder": folder.to_string_lossy() }))
    }

    /// All that is wanted is there, in this folder if that is another than it was fetched to. The line for people follows
    /// at once, even if it is served from now on.
    pub(super) fn finished(&mut self, moved_to: Option<&Path>) -> Result<(), Failure> {
        self.now.bytes_done = self.selection.bytes;
        let seconds = self.took.unwrap_or(self.began.elapsed()).as_secs_f64();
        self.bar = None;
        if self.json {
            return self.event(json!({
                "event": "finished",
                "bytes_done": self.now.bytes_done,
                "seconds": seconds,
            }));
        }
        let summary = self.summary(seconds);
        match moved_to {
            Some(folder) => output::line(format!("{summary}; it is in {}", PrintablePath(folder))),
            None => output::line(summary),
        }
    }

    /// The end, with everything there.
    pub(super) fn ended(&self) -> Result<(), Failure> {
        self.event(self.stop(true))
    }

    /// Somebody stopped it before everything was there.
    pub(super) fn stopped(&mut self, have: &Bitfield) -> Result<(), Failure> {
        self.now.bytes_done = self.selection.bytes_done(self.metainfo, have);
        self.bar = None;
        output::diagnostic("stopped; the same command goes on from here");
        if self.json {
            return self.event(self.stop(false));
        }
        let (name, done, wanted) = (
            Printable(self.metainfo.name()),
            rounded_size(self.now.bytes_done),
            rounded_size(self.selection.bytes),
        );
        output::line(format!("{name}: incomplete: {done} of {wanted} are there"))
    }

    /// Somebody stopped it while files were carried to this folder: all is there, and not all of it in one place.
    pub(super) fn stopped_moving(&mut self, folder: &Path) -> Result<(), Failure> {
        self.now.bytes_done = self.selection.bytes;
        output::diagnostic("stopped; nothing is lost, and the same command moves what is not moved yet");
        if self.json {
            return self.event(self.stop(false));
        }
        let (name, folder) = (Printable(self.metainfo.name()), PrintablePath(folder));
        output::line(format!(
            "{name}: incomplete: all is there, and not all of it is in {folder}"
        ))
    }

    /// What is there now, and what it took.
    fn summary(&self, seconds: f64) -> String {
        let name = Printable(self.metainfo.name());
        let size = rounded_size(self.selection.bytes);
        let (files, wanted) = (self.metainfo.files().len(), self.selection.files(self.metainfo));
        let what = if self.selection.priorities.is_empty() {
            format!("{name}: complete: {size}")
        } else {
            format!("{name}: complete: {wanted} of {files} files, {size}")
        };
        let fetched = self.now.downloaded_bytes;
        if fetched == 0 {
            return format!("{what}, all there already");
        }
        let rate = rounded_size((fetched as f64 / seconds.max(0.001)) as u64);
        format!(
            "{what}, of which {} came in {seconds:.1} s, {rate}/s",
            rounded_size(fetched)
        )
    }

    fn progress(&self) -> Value {
        json!({
            "event": "progress",
            "state": self.state(),
            "bytes_done": self.now.bytes_done,
            "bytes_wanted": self.selection.bytes,
            "download_bytes_per_s": self.downloaded.bytes_per_s(),
            "upload_bytes_per_s": self.uploaded.bytes_per_s(),
            "peers": self.now.peers,
        })
    }

    fn stop(&self, complete: bool) -> Value {
        json!({
            "event": "stopped",
            "complete": complete,
            "bytes_done": self.now.bytes_done,
            "bytes_wanted": self.selection.bytes,
            "downloaded_bytes": self.now.downloaded_bytes,
            "uploaded_bytes": self.now.uploaded_bytes,
        })
    }

    fn state(&self) -> &'static str {
        match (&self.now.paused, self.now.peers) {
            (Some(_), _) => "paused",
            (None, 0) => "waiting",
            (None, _) => "fetching",
        }
    }

    fn activity(&self) -> Activity {
        match (&self.now.paused, self.now.peers) {
            (Some(reason), _) => Activity::Standing(format!("paused: {reason}")),
            (None, 0) => Activity::Standing("waiting for peers".to_owned()),
            (None, peers) => Activity::Moving {
                bytes_per_s: self.downloaded.bytes_per_s(),
                peers,
                left: self.downloaded.left(self.selection.bytes - self.now.bytes_done),
            },
        }
    }

    fn draw(&mut self) {
        if !stderr().is_terminal() {
            return;
        }
        let activity = self.activity();
        let bar = || FetchBar::new(self.metainfo.name(), self.selection.bytes);
        let bar = self.bar.get_or_insert_with(bar);
        bar.show(self.now.bytes_done, &activity);
    }

    /// Writes something that is not the bar, above it.
    pub(super) fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.aside(write),
            None => write(),
        }
    }

    fn diagnostic(&self, sentence: &str) {
        self.aside(|| output::diagnostic(Printable(sentence)));
    }

    #[expect(clippy::needless_pass_by_value, reason = "an event is made to be told")]
    fn event(&self, event: Value) -> Result<(), Failure> {
        if self.json { output::json(&event) } else { Ok(()) }
    }
}
