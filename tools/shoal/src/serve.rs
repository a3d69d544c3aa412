//! Serving until somebody says stop: what `seed` and `share` have in common.

use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::{Bar, StatusLine};
use crate::signals;
use crossbeam::channel::{Receiver, never, select, tick};
use serde_json::json;
use shoal::check::{Cancelled, Findings, check};
use shoal::config::Config;
use shoal::printable::{Printable, PrintablePath};
use shoal::session::{Event, PeerReport, Session, StartError, Stats, TorrentReport};
use shoal::units::rounded_size;
use shoal_proto::metainfo::Metainfo;
use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the status line shows new numbers.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// A session that was started and is told what to serve.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) session: Session,
    pub(crate) stop_requests: Receiver<()>,
    json: bool,
}

impl Serving {
    /// Starts the session, so that a refusal of the machine is known before time is spent on reading data.
    pub(crate) fn start(config: &Config, json: bool) -> Result<Serving, Failure> {
        Ok(Serving {
            stop_requests: signals::stop_requests()?,
            session: Session::start(config)?,
            json,
        })
    }

    /// As [`Serving::start`], on another port when somebody has the one of the settings and nobody asked for it.
    pub(crate) fn start_beside_others(config: &Config, json: bool) -> Result<Serving, Failure> {
        let stop_requests = signals::stop_requests()?;
        let session = match Session::start_unless_in_use(config) {
            Err(StartError::Listen { .. }) => {
                let mut elsewhere = config.clone();
                elsewhere.listen.set_port(0);
                Session::start(&elsewhere)
            }
            started => started,
        };
        Ok(Serving {
            stop_requests,
            session: session?,
            json,
        })
    }

    /// Ends all that is served, does something to its files, which hears of requests to stop, and starts again where peers
    /// know it.
    pub(crate) fn restart<E: From<Failure>>(
        self,
        config: &Config,
        meanwhile: impl FnOnce(&Receiver<()>) -> Result<(), E>,
    ) -> Result<Serving, E> {
        let mut config = config.clone();
        config.listen = self.session.local_addr();
        self.session.stop();
        meanwhile(&self.stop_requests)?;
        Ok(Serving {
            session: Session::start(&config).map_err(Failure::from)?,
            ..self
        })
    }

    /// Hears how far a scan is, and breaks it off when a stop was requested.
    pub(crate) fn watch<'a>(&'a self, bar: &'a Bar) -> impl Fn(u64) -> ControlFlow<()> + Sync + 'a {
        |bytes| {
            bar.at(bytes);
            signals::unless_requested(&self.stop_requests)
        }
    }

    /// Checks the data of a torrent with a bar on the terminal.
    pub(crate) fn check(
        &self,
        metainfo: &Metainfo,
        data: &Path,
        config: &Config,
    ) -> Result<Findings, Cancelled> {
        let bar = Bar::checking(metainfo);
        check(metainfo, data, &config.scan_options(), &self.watch(&bar))
    }

    /// Says `ready` and serves until SIGINT or SIGTERM.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        self.tell_ready()?;
        self.go_on()?;
        self.stop()
    }

    /// Serves until SIGINT or SIGTERM, once it was said that it does.
    pub(crate) fn go_on(&self) -> Result<(), Failure> {
        let line = stderr().is_terminal().then(StatusLine::new);
        let ticks = if line.is_some() {
            tick(STATUS_PERIOD)
        } else {
            never()
        };
        let mut before = Sample::take(&self.session);
        loop {
            select! {
                recv(self.stop_requests) -> _ => break,
                recv(self.session.events()) -> event => match event {
                    Ok(event) => self.tell(&event, line.as_ref())?,
                    Err(_) => break,
                },
                recv(ticks) -> _ => {
                    let now = Sample::take(&self.session);
                    if let Some(line) = &line {
                        line.show(status(&before, &now));
                    }
                    before = now;
                }
            }
        }
        Ok(())
    }

    /// Closes everything; a clean end.
    pub(crate) fn stop(self) -> Result<Exit, Failure> {
        let sent = self.session.stats().uploaded_bytes;
        let report = self.json.then(|| self.session.report());
        self.session.stop();
        if let Some(report) = report {
            let torrent = |torrent: &TorrentReport| {
                json!({
                    "info_hash": torrent.info_hash.to_string(),
                    "peers": torrent.peers,
                    "uploaded_bytes": torrent.uploaded_bytes,
                })
            };
            let peer = |peer: &PeerReport| {
                json!({
                    "address": peer.address.to_string(),
                    "client": peer.client,
                    "info_hash": peer.info_hash.to_string(),
                    "uploaded_bytes": peer.uploaded_bytes,
                })
            };
            output::json(&json!({
                "event": "stopped",
                "uploaded_bytes": sent,
                "torrents": report.torrents.iter().map(torrent).collect::<Vec<_>>(),
                "peers": report.peers.iter().map(peer).collect::<Vec<_>>(),
            }))?;
        }
        Ok(Exit::Done)
    }

    /// Says where peers can connect.
    pub(crate) fn tell_ready(&self) -> Result<(), Failure> {
        let address = self.session.local_addr().to_string();
        if self.json {
            output::json(&json!({ "event": "ready", "address": address }))
        } else {
            output::line(format!("ready {address}"))
        }
    }

    fn tell(&self, event: &Event, line: Option<&StatusLine>) -> Result<(), Failure> {
        let sentence = sentence(event);
        match line {
            Some(line) => line.aside(|| output::diagnostic(&sentence)),
            None => output::diagnostic(&sentence),
        }
        if self.json {
            output::json(&event_json(event, &sentence))
        } else {
            Ok(())
        }
    }
}

/// What happened, for a person.
pub(crate) fn sentence(event: &Event) -> String {
    match event {
        Event::TorrentFailed { name, failure, .. } => {
            let failure = failure.to_string();
            format!(
                "{}: not served any more: {}",
                Printable(name),
                Printable(&failure)
            )
        }
        Event::FileVerified { name, path, .. } => {
            let path = PrintablePath(path);
            format!(
                "{}: {path} was touched, was verified again and is in order",
                Printable(name)
            )
        }
        Event::CoreBroken => {
            "a core ended by a defect of shoal; its torrents are not served any more, start again".to_owned()
        }
    }
}

fn event_json(event: &Event, sentence: &str) -> serde_json::Value {
    let (name, info_hash) = match event {
        Event::TorrentFailed { info_hash, .. } => ("torrent_failed", Some(info_hash)),
        Event::FileVerified { info_hash, .. } => ("file_verified", Some(info_hash)),
        Event::CoreBroken => ("core_broken", None),
    };
    json!({ "event": name, "info_hash": info_hash.map(ToString::to_string), "message": sentence })
}

/// The session's numbers at a moment.
struct Sample {
    at: Instant,
    stats: Stats,
}

impl Sample {
    fn take(session: &Session) -> Sample {
        Sample {
            at: Instant::now(),
            stats: session.stats(),
        }
    }
}

/// One line: what happened between two moments, and the sums of the later one.
fn status(before: &Sample, now: &Sample) -> String {
    let seconds = (now.at - before.at).as_secs_f64().max(f64::MIN_POSITIVE);
    let bytes = now
        .stats
        .uploaded_bytes
        .saturating_sub(before.stats.uploaded_bytes);
    let rate = rounded_size((bytes as f64 / seconds) as u64);
    let Stats {
        peers,
        torrents,
        uploaded_bytes,
        ..
    } = now.stats;
    let sent = rounded_size(uploaded_bytes);
    let hits = cache_share(&now.stats);
    format!(
        "{rate}/s  {sent} sent, {hits}% from cache  {}  {}",
        plural(peers, "peer"),
        plural(torrents, "torrent")
    )
}

/// How much of what was sent came from the cache, in percent.
fn cache_share(stats: &Stats) -> u64 {
    (stats.uploaded_framed_bytes * 100)
        .checked_div(stats.uploaded_bytes)
        .unwrap_or(0)
}

fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests;
