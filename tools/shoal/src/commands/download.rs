//! `shoal download`.
//!
//! The order of things: what was asked for is understood before anything is touched; the engine starts, so that a refusal
//! is known early; the state is opened, files are made and looked at; then it is fetched until all that is wanted
//! is there, and the files get their names and are carried to where they are to stay, which is the business of [`home`].
//! What is shown meanwhile is that of [`display`].
//!
//! Invariants: bad input leaves nothing behind; a stop at any point can be gone on from with the same command; the state
//! file goes when nothing depends on it any more.

mod display;
mod home;
mod meter;
mod selection;
mod upkeep;

use crate::args::{Download as Arguments, Preallocate};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use crate::serve::{self, Serving};
use crate::settings;
use crossbeam::channel::{select, tick};
use display::{Display, Status};
use home::{Home, Obstacle};
use selection::Selection;
use shoal::config::Config;
use shoal::printable::{Printable, PrintablePath};
use shoal::resume::resume;
use shoal::session::Event;
use shoal::storage::{Place, Preallocation, StorageError};
use shoal::torrent::{BeginError, Fetching, Order, Torrent, TorrentEvent, Wishes};
use shoal::torrent_file;
use shoal_proto::metainfo::Metainfo;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use upkeep::State;

/// Memory of a core to serve from, and to put pieces together in at least, when one torrent is all that there is to do: more
/// than what is asked of peers and on its way to the disk at a gigabyte a second only costs the start.
const SERVING_LEN: u64 = 16 << 20;
const PIECES_LEN_MIN: u64 = 32 << 20;

/// How often it is looked at how far the fetch is.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let mut config = settings::config(&arguments.settings)?;
    let limits = [
        ("--limit-down", "download_limit", &arguments.limit_down),
        ("--limit-up", "upload_limit", &arguments.limit_up),
    ];
    for (option, name, rate) in limits {
        settings::set(&mut config, option, name, rate.as_deref())?;
    }
    let metainfo = Arc::new(torrent(&arguments.file)?);
    if arguments.settings.config.is_none() {
        fit(&mut config, &metainfo);
    }
    let plan = Plan {
        peers: peers(&arguments.peers)?,
        selection: Selection::of(&metainfo, &arguments.globs)?,
        order: if arguments.sequential {
            Order::Sequential
        } else {
            Order::RarestFirst
        },
        seed: arguments.seed,
        super_seed: arguments.super_seed,
        metainfo,
        config,
    };
    let destination = home::destination(&plan.metainfo, &arguments.out, arguments.move_to.as_ref())?;
    let settings = &arguments.settings;
    let serving = if settings.listen.is_some() || settings.config.is_some() {
        Serving::start(&plan.config, json)?
    } else {
        Serving::start_beside_others(&plan.config, json)?
    };
    let folder = arguments.state.as_ref().unwrap_or(&arguments.out);
    let mut home = Home {
        metainfo: &plan.metainfo,
        selection: &plan.selection,
        state: State::open(&arguments.out, folder, &plan.metainfo)?,
        place: place(arguments),
        destination,
    };
    plan.run(serving, &mut home, json)
}

/// Where it is fetched to.
fn place(arguments: &Arguments) -> Place {
    Place {
        root: arguments.out.clone(),
        part_suffix: arguments.part,
        preallocation: match arguments.preallocate {
            Preallocate::Sparse => Preallocation::Sparse,
            Preallocate::Full => Preallocation::Full,
        },
        data_expected: false,
    }
}

/// The torrent of a file. Of a link there is only a sentence to say.
fn torrent(file: &Path) -> Result<Metainfo, Failure> {
    let is_magnet = file
        .to_str()
        .and_then(|text| text.get(..7))
        .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
    if is_magnet {
        return Err(Failure::bad_input(
            "magnet links cannot be downloaded by this version of shoal; give the torrent file",
        ));
    }
    Ok(torrent_file::read(file)?)
}

/// Takes as much memory as this torrent needs: three pieces of it, one that comes, one that is hashed, one that is written.
fn fit(config: &mut Config, metainfo: &Metainfo) {
    let piece_length = u64::from(metainfo.layout().piece_length());
    let cores = config.cpus().map_or(1, |cpus| cpus.len()) as u64;
    config.piece_length_max = piece_length;
    config.arena_size = cores * (SERVING_LEN + PIECES_LEN_MIN.max(3 * piece_length));
}

fn peers(texts: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let peer = |text: &String| {
        let address = text
            .parse()
            .ok()
            .filter(|address: &SocketAddr| address.port() != 0);
        address.ok_or_else(|| {
            Failure::bad_input(format!(
                "--peer: `{}`: it takes ADDR:PORT, such as 192.0.2.1:6881 or [2001:db8::1]:6881",
                Printable(text)
            ))
        })
    };
    texts.iter().map(peer).collect()
}

/// What is to be done, understood and valid.
struct Plan {
    config: Config,
    metainfo: Arc<Metainfo>,
    selection: Selection,
    order: Order,
    peers: Vec<SocketAddr>,
    seed: bool,
    super_seed: bool,
}

/// How a fetch ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Stopped,
}

impl Plan {
    fn run(&self, serving: Serving, home: &mut Home<'_>, json: bool) -> Result<Exit, Failure> {
        let mut display = Display::new(&self.metainfo, &self.selection, json);
        let begun = self.settle(&serving, home, &mut display);
        let fetching = match begun.and_then(|()| self.begin(&serving, home)) {
            Ok(fetching) => fetching,
            Err(obstacle) => {
                serving.session.stop();
                home.state.forget_if_new();
                return end_early(obstacle, &mut display);
            }
        };
        display.started(fetching.have(), &home.place.root)?;
        let ended = if !self.seed && self.selection.is_within(fetching.have()) {
            self.end_complete(serving, home, &mut display)
        } else {
            self.fetch_and_serve(serving, fetching, home, &mut display)
        };
        ended.or_else(|obstacle| end_early(obstacle, &mut display))
    }

    /// Finds out which folder the files are in.
    fn settle(
        &self,
        serving: &Serving,
        home: &mut Home<'_>,
        display: &mut Display<'_>,
    ) -> Result<(), Obstacle> {
        home.settle(&serving.stop_requests, display, |there| {
            let bar = Bar::looking(&self.metainfo);
            let scan = self.config.scan_options();
            resume(&self.metainfo, there, None, &scan, &serving.watch(&bar))
        })
    }

    /// Makes the files and finds out what is in them.
    fn begin(&self, serving: &Serving, home: &Home<'_>) -> Result<Fetching, Obstacle> {
        let bar = Bar::looking(&self.metainfo);
        let wishes = Wishes {
            priorities: self.selection.priorities.clone(),
            order: self.order,
        };
        let mut fetching = Fetching::begin(
            Arc::clone(&self.metainfo),
            home.place.clone(),
            wishes,
            Arc::clone(&home.state.store),
            &self.config.scan_options(),
            &serving.watch(&bar),
        )
        .map_err(|error| obstacle(error, &home.state))?;
        fetching.peers.clone_from(&self.peers);
        Ok(fetching)
    }

    fn fetch_and_serve(
        &self,
        serving: Serving,
        fetching: Fetching,
        home: &mut Home<'_>,
        display: &mut Display<'_>,
    ) -> Result<Exit, Obstacle> {
        let complete = self.selection.is_within(fetching.have());
        let torrent = self.add(&serving, fetching)?;
        display.aside(|| serving.tell_ready())?;
        let end = if complete {
            End::Complete
        } else {
            self.fetch(&serving, &torrent, display)?
        };
        display.note(&status(&torrent));
        if end == End::Stopped {
            serving.session.stop();
            display.stopped(&torrent.have())?;
            return Ok(Exit::Incomplete);
        }
        if !self.seed {
            return self.end_complete(serving, home, display);
        }
        let (serving, torrent) = self.put_in_order_and_go_on(serving, torrent, home, display)?;
        self.super_seed(&torrent)?;
        display.finished(home.destination.as_deref())?;
        serving.go_on()?;
        display.note(&status(&torrent));
        serving.session.stop();
        display.ended()?;
        Ok(Exit::Done)
    }

    /// Waits until all that is wanted is there, or somebody says stop.
    fn fetch(&self, serving: &Serving, torrent: &Torrent, display: &mut Display<'_>) -> Result<End, Failure> {
        let looks = tick(LOOK_PERIOD);
        loop {
            select! {
                recv(serving.stop_requests) -> _ => return Ok(End::Stopped),
                recv(serving.session.events()) -> event => match event {
                    // The torrent says the same of itself.
                    Ok(Event::TorrentFailed { .. }) => {}
                    Ok(event @ Event::FileVerified { .. }) => display.warning(&serve::sentence(&event))?,
                    Ok(Event::CoreBroken) | Err(_) => return Err(Failure::refused(serve::sentence(&Event::CoreBroken))),
                },
                recv(torrent.events()) -> event => match event {
                    Ok(TorrentEvent::Finished) => return Ok(End::Complete),
                    Ok(event) => tell(event, display)?,
                    Err(_) => return Err(Failure::refused(serve::sentence(&Event::CoreBroken))),
                },
                recv(looks) -> _ => display.look(&status(torrent))?,
            }
        }
    }

    /// All is there: the engine stops, files come to where they stay, and nothing but them is left.
    fn end_complete(
        &self,
        serving: Serving,
        home: &mut Home<'_>,
        display: &mut Display<'_>,
    ) -> Result<Exit, Obstacle> {
        serving.session.stop();
        home.put_in_order(&serving.stop_requests, display)?;
        home.state.forget();
        display.finished(home.destination.as_deref())?;
        display.ended()?;
        Ok(Exit::Done)
    }

    /// Puts files where they stay before they are served on. Nothing may use them meanwhile, so the engine starts again
    /// then.
    fn put_in_order_and_go_on(
        &self,
        serving: Serving,
        torrent: Torrent,
        home: &mut Home<'_>,
        display: &mut Display<'_>,
    ) -> Result<(Serving, Torrent), Obstacle> {
        if home.is_in_order()? {
            return Ok((serving, torrent));
        }
        let put_in_order = |stop_requests: &_| home.put_in_order(stop_requests, display);
        let serving = serving.restart(&self.config, put_in_order)?;
        let fetching = self.begin(&serving, home)?;
        let torrent = self.add(&serving, fetching)?;
        Ok((serving, torrent))
    }

    fn add(&self, serving: &Serving, fetching: Fetching) -> Result<Torrent, Failure> {
        let torrent = serving.session.add(fetching).map_err(Failure::bad_input)?;
        self.super_seed(&torrent)?;
        Ok(torrent)
    }

    /// Super-seeds the torrent if that was asked for; one that is not complete is none the wiser.
    fn super_seed(&self, torrent: &Torrent) -> Result<(), Failure> {
        if self.super_seed {
            torrent.set_super_seeding(true).map_err(Failure::refused)?;
        }
        Ok(())
    }
}

/// What stood in the way, as the end of the command.
fn end_early(obstacle: Obstacle, display: &mut Display<'_>) -> Result<Exit, Failure> {
    match obstacle {
        Obstacle::Failed(failure) => return Err(failure),
        Obstacle::StopRequested => {
            output::diagnostic("stopped before it was known what is there; the same command begins again");
        }
        Obstacle::MoveStopped(folder) => display.stopped_moving(&folder)?,
    }
    Ok(Exit::Incomplete)
}

fn obstacle(error: BeginError, state: &State) -> Obstacle {
    match error {
        BeginError::Storage(error @ StorageError::Vanished { .. }) => {
            let state = PrintablePath(&state.path);
            Failure::refused(format!("{error}: its state is in {state}")).into()
        }
        BeginError::Storage(error) => error.into(),
        BeginError::State(error) => error.into(),
        BeginError::Cancelled => Obstacle::StopRequested,
    }
}

/// An event that is not the end, or the failure that it is.
fn tell(event: TorrentEvent, display: &mut Display<'_>) -> Result<(), Failure> {
    match event {
        TorrentEvent::Paused(reason) => display.paused(&reason.to_string()),
        TorrentEvent::Resumed => display.resumed(),
        TorrentEvent::PeerBanned(address) => display.peer_banned(address),
        TorrentEvent::StateLost(sentence) => display.warning(&sentence),
        TorrentEvent::Finished => Ok(()),
        TorrentEvent::PieceTooLong => Err(Failure::refused(
            "a piece of this torrent does not fit into memory; set piece_length_max higher in a configuration file",
        )),
        TorrentEvent::Failed(failure) => Err(Failure::refused(Printable(&failure.to_string()))),
    }
}

/// What a torrent is doing now.
fn status(torrent: &Torrent) -> Status {
    Status {
        have: torrent.have(),
        report: torrent.report(),
    }
}
