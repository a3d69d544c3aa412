//! `shoal download`.

use crate::args::Download as Arguments;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::serve::Serving;
use crate::settings;
use serde_json::json;
use shoal::config::Config;
use shoal::printable::Printable;
use shoal::state::Store;
use shoal::storage::{Place, Preallocation};
use shoal::torrent::{BeginError, Fetching, Torrent, TorrentEvent, Wishes};
use shoal::torrent_file;
use shoal_proto::metainfo::Metainfo;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crossbeam::channel::select;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let config = settings::config(&arguments.settings)?;
    let metainfo = Arc::new(torrent_file::read(&arguments.file)?);
    let peers = peers(&arguments.peers)?;
    let serving = Serving::start(&config, json)?;
    let fetching = begin(&serving, &metainfo, arguments, &config);
    let mut fetching = match fetching {
        Ok(fetching) => fetching,
        Err(BeginError::Cancelled) => return serving.stop(),
        Err(error) => {
            serving.stop()?;
            return Err(Failure::refused(error));
        }
    };
    fetching.peers = peers;
    let torrent = serving.session.add(fetching).map_err(Failure::bad_input)?;
    let exit = fetch(&serving, &torrent, json)?;
    if exit == Exit::Done && arguments.seed {
        return serving.run();
    }
    serving.stop()?;
    Ok(exit)
}

fn peers(texts: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let peer = |text: &String| {
        text.parse().map_err(|_| {
            Failure::bad_input(format!(
                "--peer: `{}`: it takes ADDR:PORT, such as 192.0.2.1:6881",
                Printable(text)
            ))
        })
    };
    texts.iter().map(peer).collect()
}

fn begin(
    serving: &Serving,
    metainfo: &Arc<Metainfo>,
    arguments: &Arguments,
    config: &Config,
) -> Result<Fetching, BeginError> {
    let place = Place {
        root: arguments.out.clone(),
        part_suffix: false,
        preallocation: Preallocation::Full,
        data_expected: false,
    };
    std::fs::create_dir_all(&arguments.out).ok();
    let store = Arc::new(Store::open(&state_file(&arguments.out, metainfo))?);
    let bar = crate::progress::Bar::checking(metainfo);
    let watch = serving.watch(&bar);
    Fetching::begin(
        Arc::clone(metainfo),
        place,
        Wishes::default(),
        store,
        &config.scan_options(),
        &watch,
    )
}

fn state_file(out: &Path, metainfo: &Metainfo) -> std::path::PathBuf {
    out.join(format!(".shoal-{}.state", metainfo.info_hash()))
}

/// Waits until everything is there.
fn fetch(serving: &Serving, torrent: &Torrent, json: bool) -> Result<Exit, Failure> {
    loop {
        select! {
            recv(serving.stop_requests) -> _ => return Ok(Exit::Incomplete),
            recv(torrent.events()) -> event => match event {
                Ok(TorrentEvent::Finished) | Err(_) => {
                    if json {
                        output::json(&json!({ "event": "finished" }))?;
                    }
                    return Ok(Exit::Done);
                }
                Ok(TorrentEvent::Failed(failure)) => return Err(Failure::refused(failure)),
                Ok(other) => output::diagnostic(format!("{other:?}")),
            },
        }
    }
}
