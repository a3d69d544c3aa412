//! The running engine: cores, the torrents on them, and what happens to them.
//!
//! A session binds the listening address, starts one pinned thread per core and places every torrent on the core that
//! its info-hash names. A control thread hears what the cores tell and passes on what an owner must know; another verifies
//! torrents again of which a file was touched for no visible reason.
//!
//! It reads no payload itself and decides nothing that a shard decides.

use std::collections::{BTreeMap, btree_map};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::FileIndex;
use shoal_proto::metainfo::Metainfo;
use shoal_proto::peer_id::PeerId;
use shoal_shard::{
    Command, Counters, Direction, Failure, Fetch, Settings, Shard, Slots, Throttle, Throttles,
};
use shoal_uring::hash::pool;
use shoal_uring::kernel::{self, Kernel};
use shoal_uring::{Mailbox, Refused, descriptors};
use shoal_world::{CoreIndex, EXTENT_LEN, FileStamp};
use thiserror::Error;

use crate::config::{Auto, Config, Limit, LimitsCount, UploadSlots};
use crate::core::{self, Message, Parts, Published, Request};
use crate::listeners;
use crate::machine::CpuMissing;
use crate::news::News;
use crate::saver::{self, Begun, Deed};
use crate::torrent::{Fetching, Shared, Torrent, TorrentEvent};
use crate::verifier::Verifier;

/// Requests that wait for a core at most. Adding the next torrent waits meanwhile.
const REQUESTS_LEN_MAX: usize = 1_024;

/// Extents of a core at least, besides those of a piece: as many as one run of 16 scattered blocks and a frame to promote
/// can need, and the two at a piece's ends that it shares with its neighbours.
const EXTENTS_MIN: u64 = 64 + 2;

/// How long a start waits for the cores. Taking 64 MiB needs a quarter of a second; on a machine that is many times too busy
/// it is a slow start, not a failed one.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How long a stop waits for the cores. Closing needs milliseconds; a disk that hangs must not hold the process.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A torrent to seed.
#[derive(Clone, Debug)]
pub struct Seeding {
    /// What the torrent is.
    pub metainfo: Arc<Metainfo>,
    /// The folder below which its files lie at their paths.
    pub data: PathBuf,
    /// The pieces that were verified.
    pub have: Bitfield,
    /// What each file was when it was verified, in the order of the torrent. `None`: the owner vouches for what it is
    /// when it is first opened.
    pub stamps: Vec<Option<FileStamp>>,
}

/// What happens in a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A torrent is not served any more. Add it again when its data are in order.
    TorrentFailed {
        /// Which torrent.
        info_hash: InfoHash,
        /// Its name.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// A file was touched for no visible reason, was verified again, and is in order.
    FileVerified {
        /// Which torrent.
        info_hash: InfoHash,
        /// The torrent's name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A core's thread ended by a defect of the engine. Its torrents are not served any more.
    CoreBroken,
}

/// Why a session does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A configured CPU is not to be had.
    #[error(transparent)]
    Cpu(#[from] CpuMissing),
    /// The address cannot be listened on.
    #[error("{address}: cannot listen: {error}; choose another address or stop the program that uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The kernel gives no ring.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No thread, no descriptor, no randomness.
    #[error("the engine cannot be started: {0}")]
    System(#[from] io::Error),
}

/// Why a torrent is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddError {
    /// A torrent of this info-hash is there already.
    #[error("the torrent {0} is being seeded already")]
    Duplicate(InfoHash),
    /// The core that would serve it ended by a defect.
    #[error("the core that would serve the torrent is not running")]
    CoreGone,
}

pub use shoal_shard::{PeerReport, Report, TorrentReport};

/// Sums over all cores.
pub type Stats = Counters;

/// The torrents of a session, for the control thread and whoever adds.
pub(crate) type Catalogue = Arc<Mutex<BTreeMap<InfoHash, Arc<Shared>>>>;

/// A torrent to add.
#[derive(Debug)]
pub enum Addition {
    /// One that is only served.
    Seeding(Seeding),
    /// One that is fetched.
    Fetching(Box<Fetching>),
}

impl From<Seeding> for Addition {
    fn from(seeding: Seeding) -> Addition {
        Addition::Seeding(seeding)
    }
}

impl From<Fetching> for Addition {
    fn from(fetching: Fetching) -> Addition {
        Addition::Fetching(Box::new(fetching))
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Session {
    address: SocketAddr,
    cores: Vec<Core>,
    catalogue: Catalogue,
    events: Receiver<Event>,
    /// Tells the saver what begins.
    deeds: Sender<Deed>,
    stopping: Arc<AtomicBool>,
    control: JoinHandle<()>,
    saver: JoinHandle<()>,
    /// Hears of every core that has closed everything.
    stopped: Receiver<()>,
}

/// A core as the session sees it.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    index: usize,
    requests: Sender<Request>,
    mailboxes: Arc<[Mailbox]>,
    counters: Arc<Published>,
}

impl Core {
    pub(crate) fn command(&self, command: Command) -> Result<(), AddError> {
        self.request(Request::Command(command))
    }

    /// What it serves to whom; nothing when it is gone.
    pub(crate) fn report(&self) -> Option<Report> {
        let (tell, hears) = channel::bounded(1);
        self.request(Request::Report(tell)).ok()?;
        hears.recv().ok()
    }

    fn request(&self, request: Request) -> Result<(), AddError> {
        self.requests.send(request).map_err(|_| AddError::CoreGone)?;
        self.mailboxes[self.index].bell().ring();
        Ok(())
    }
}

impl Session {
    /// Binds the address and starts one pinned thread per core. An address in use is tried again for two seconds: who
    /// had it may have been killed a moment ago.
    ///
    /// # Errors
    /// One sentence that says what is missing and the way out. Nothing runs then.
    pub fn start(config: &Config) -> Result<Session, StartError> {
        Session::start_within(config, listeners::FREED_WITHIN)
    }

    /// As [`Session::start`], for who has another address to take: one in use is an error at once.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_unless_in_use(config: &Config) -> Result<Session, StartError> {
        Session::start_within(config, Duration::ZERO)
    }

    fn start_within(config: &Config, patience: Duration) -> Result<Session, StartError> {
        let cpus = config.cpus()?;
        let bound = listeners::bind(config.listen, cpus.len(), patience);
        let listeners = bound.map_err(|error| StartError::Listen {
            address: config.listen,
            error,
        })?;
        let address = listeners[0].local_addr()?;
        let mailboxes: Arc<[Mailbox]> = cpus.iter().map(|_| Mailbox::new()).collect::<io::Result<_>>()?;
        // A core never waits. What it tells is a message for each written piece, so that a control thread which stands still
        // for a second owes 6 MiB at a gigabyte a second of the smallest pieces.
        let (messages, hears) = channel::unbounded();
        let peer_id = random_peer_id()?;
        let hashing = hashing_pool(config, &cpus)?;
        let throttles = Arc::new(throttles(config));
        let began = Instant::now();
        let mut cores = Vec::with_capacity(cpus.len());
        for (index, (cpu, listener)) in cpus.iter().zip(listeners).enumerate() {
            let (requests, takes) = channel::bounded(REQUESTS_LEN_MAX);
            let counters = Arc::new(Published::default());
            let kernel = kernel::Options {
                extents: extents_per_core(config, cpus.len()),
                frames: Kernel::frames_in(config.cache_size_bytes() / cpus.len() as u64),
                io_mode: config.io_mode,
                listener: Some(listener),
                datagrams: None,
                mailboxes: Arc::clone(&mailboxes),
                core: index,
                hashing: Some(Arc::clone(&hashing)),
                began,
            };
            let settings = settings(config, index, cpus.len(), peer_id, &throttles)?;
            let messages = messages.clone();
            core::spawn(Parts {
                cpu: *cpu,
                settings,
                kernel,
                requests: takes,
                messages,
                counters: Arc::clone(&counters),
            })?;
            cores.push(Core {
                index,
                requests,
                mailboxes: Arc::clone(&mailboxes),
                counters,
            });
        }
        drop(messages);
        await_start(&cores, &hears)?;
        Session::supervise(config, address, cores, hears)
    }

    /// Starts the control thread beside cores that run.
    fn supervise(
        config: &Config,
        address: SocketAddr,
        cores: Vec<Core>,
        hears: Receiver<Message>,
    ) -> Result<Session, StartError> {
        let catalogue = Catalogue::default();
        let news = News::new();
        let events = news.receiver().clone();
        let (tell_stopped, stopped) = channel::unbounded();
        let stopping = Arc::new(AtomicBool::new(false));
        let (suspects, hears_suspects) = channel::unbounded();
        let verifier = Verifier {
            suspects: hears_suspects,
            news: news.clone(),
            cores: cores.clone(),
            catalogue: Arc::clone(&catalogue),
            stopping: Arc::clone(&stopping),
            scan: config.scan_options(),
        };
        thread::Builder::new()
            .name("shoal-verify".into())
            .spawn(move || verifier.run())?;
        // While the state's disk hangs, four bytes a piece and a message a second and torrent wait.
        let (deeds, hears_deeds) = channel::unbounded();
        let saver = thread::Builder::new()
            .name("shoal-state".into())
            .spawn(move || saver::run(&hears_deeds))?;
        let control = Control {
            hears,
            cores: cores.len() as u16,
            deeds: deeds.clone(),
            news,
            tell_stopped,
            suspects,
            catalogue: Arc::clone(&catalogue),
        };
        let control = thread::Builder::new()
            .name("shoal-control".into())
            .spawn(move || control.run())?;
        Ok(Session {
            address,
            cores,
            catalogue,
            events,
            deeds,
            stopping,
            control,
            saver,
            stopped,
        })
    }

    /// Where peers are accepted: the configured address, with the port that was taken if it was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves a torrent from now on, and fetches what is missing of it if it is a [`Fetching`].
    ///
    /// # Errors
    /// It is there already, or its core is gone.
    pub fn add(&self, addition: impl Into<Addition>) -> Result<Torrent, AddError> {
        match addition.into() {
            Addition::Seeding(seeding) => {
                let paths = paths_of(&seeding);
                let Seeding {
                    metainfo,
                    have,
                    stamps,
                    ..
                } = seeding;
                self.place(Shared::new(metainfo, paths, None, have), stamps, None, |_| {})
            }
            Addition::Fetching(fetching) => self.add_fetching(*fetching),
        }
    }

    fn add_fetching(&self, fetching: Fetching) -> Result<Torrent, AddError> {
        let Fetching {
            metainfo,
            place,
            wishes,
            paths,
            have,
            stamps,
            store,
            saved,
            peers,
        } = fetching;
        let layout = metainfo.layout();
        let fetch = Fetch {
            hashes: layout
                .piece_indices()
                .map(|piece| metainfo.piece_hash(piece))
                .collect(),
            priorities: wishes.priorities,
            order: wishes.order,
        };
        let shared = Shared::new(metainfo, paths, Some(place), have);
        let torrent = self.place(shared, stamps, Some(fetch), |shared| {
            let begun = Begun {
                shared: Arc::clone(shared),
                store,
                uploaded_before: saved.uploaded_bytes,
                downloaded_before: saved.downloaded_bytes,
                saved,
                changed: false,
                finished: None,
                lost: false,
                ended: false,
            };
            // The saver lives as long as the session.
            let _ = self.deeds.send(Deed::Begun(Box::new(begun)));
        })?;
        if !peers.is_empty() {
            torrent.connect(peers)?;
        }
        Ok(torrent)
    }

    fn place(
        &self,
        shared: Shared,
        stamps: Vec<Option<FileStamp>>,
        fetch: Option<Fetch>,
        begin: impl FnOnce(&Arc<Shared>),
    ) -> Result<Torrent, AddError> {
        let info_hash = shared.metainfo.info_hash();
        let core = core_of(&self.cores, &info_hash).clone();
        let command = Command::Add(Box::new(for_shard(&shared, stamps, fetch)));
        let shared = Arc::new(shared);
        match lock(&self.catalogue).entry(info_hash) {
            btree_map::Entry::Occupied(_) => return Err(AddError::Duplicate(info_hash)),
            btree_map::Entry::Vacant(vacant) => vacant.insert(Arc::clone(&shared)),
        };
        begin(&shared);
        core.command(command)?;
        Ok(Torrent { shared, core })
    }

    /// What was counted so far, on all cores together.
    pub fn stats(&self) -> Stats {
        self.cores
            .iter()
            .map(|core| core.counters.read())
            .fold(Stats::default(), add)
    }

    /// What is served to whom at this moment, on all cores together.
    pub fn report(&self) -> Report {
        let (tell, hears) = channel::unbounded();
        for core in &self.cores {
            // A core that is gone serves nobody.
            let _ = core.request(Request::Report(tell.clone()));
        }
        drop(tell);
        hears.into_iter().fold(Report::default(), |mut all, mut one| {
            all.torrents.append(&mut one.torrents);
            all.peers.append(&mut one.peers);
            all
        })
    }

    /// Fetches and serves a torrent no more. Its files stay, and what is remembered of it; it may be added again. False: there
    /// is no such torrent.
    pub fn remove(&self, info_hash: &InfoHash) -> bool {
        let Some(shared) = lock(&self.catalogue).remove(info_hash) else {
            return false;
        };
        // A core that is gone serves nothing anyway.
        let _ = core_of(&self.cores, info_hash).command(Command::Remove {
            info_hash: *info_hash,
        });
        let _ = self.deeds.send(Deed::Ended(*info_hash));
        shared.end();
        true
    }

    /// What happens. Where nobody listens the oldest are forgotten.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Closes every connection, makes durable what was written, and ends all threads; it takes at most ten seconds.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        let ends = Ends(Arc::clone(&self.catalogue));
        let until = Instant::now() + STOP_WITHIN;
        let asked = self
            .cores
            .iter()
            .filter(|core| core.command(Command::Stop).is_ok())
            .count();
        for _ in 0..asked {
            if self.stopped.recv_deadline(until).is_err() {
                return;
            }
        }
        drop(ends);
        drop(self.cores);
        drop(self.deeds);
        // They end when the last core's thread has dropped its side; one that hangs in the kernel is left behind.
        while !(self.control.is_finished() && self.saver.is_finished()) && Instant::now() < until {
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Ends the waiting of whoever has a handle, however a stop ends.
struct Ends(Catalogue);

impl Drop for Ends {
    fn drop(&mut self) {
        for shared in lock(&self.0).values() {
            shared.end();
        }
    }
}

/// The control thread.
struct Control {
    hears: Receiver<Message>,
    /// How many there are.
    cores: u16,
    /// To the saver.
    deeds: Sender<Deed>,
    news: News<Event>,
    tell_stopped: Sender<()>,
    /// One for each torrent that is suspended.
    suspects: Sender<(InfoHash, FileIndex)>,
    catalogue: Catalogue,
}

impl Control {
    /// Ends when all cores have.
    fn run(self) {
        for message in &self.hears {
            match message {
                Message::Happened(event) => self.happened(event),
                Message::Broken(core) => {
                    self.end_all_of(core);
                    self.news.tell(Event::CoreBroken);
                    let _ = self.tell_stopped.send(());
                }
                Message::Started(_) => {}
            }
        }
    }

    fn happened(&self, event: shoal_shard::Event) {
        match event {
            shoal_shard::Event::TorrentFailed { info_hash, failure } => {
                let _ = self.deeds.send(Deed::Ended(info_hash));
                if let Some(shared) = lock(&self.catalogue).remove(&info_hash) {
                    let name = shared.metainfo.name().to_owned();
                    shared.tell(TorrentEvent::Failed(failure.clone()));
                    self.news.tell(Event::TorrentFailed {
                        info_hash,
                        name,
                        failure,
                    });
                }
            }
            shoal_shard::Event::FileSuspect { info_hash, file } => {
                // The verifier ends only after this thread.
                let _ = self.suspects.send((info_hash, file));
            }
            shoal_shard::Event::PieceWritten { info_hash, piece } => {
                self.with(info_hash, |shared| shared.piece_written(piece));
            }
            shoal_shard::Event::PiecesDurable {
                info_hash,
                pieces,
                stamps,
                downloaded_bytes,
                uploaded_bytes,
            } => self.save(Deed::Durable {
                info_hash,
                pieces,
                stamps,
                downloaded_bytes,
                uploaded_bytes,
            }),
            shoal_shard::Event::TorrentFinished { info_hash, wish } => {
                self.save(Deed::Finished(info_hash, wish));
            }
            shoal_shard::Event::TorrentPaused { info_hash, failure } => {
                self.tell(info_hash, TorrentEvent::Paused(failure));
            }
            shoal_shard::Event::TorrentResumed { info_hash } => {
                self.tell(info_hash, TorrentEvent::Resumed);
            }
            shoal_shard::Event::PieceTooLong { info_hash } => {
                self.tell(info_hash, TorrentEvent::PieceTooLong);
            }
            shoal_shard::Event::PeerBanned { info_hash, address } => {
                self.tell(info_hash, TorrentEvent::PeerBanned(address));
            }
            shoal_shard::Event::Stopped => {
                let _ = self.tell_stopped.send(());
            }
        }
    }
}

impl Control {
    /// Nothing more will happen to the torrents of a core that is gone.
    fn end_all_of(&self, core: usize) {
        for (info_hash, shared) in lock(&self.catalogue).iter() {
            if usize::from(Shard::owner(info_hash, self.cores).0) == core {
                shared.end();
            }
        }
    }

    fn with(&self, info_hash: InfoHash, act: impl FnOnce(&Shared)) {
        let shared = lock(&self.catalogue).get(&info_hash).cloned();
        if let Some(shared) = shared {
            act(&shared);
        }
    }

    fn tell(&self, info_hash: InfoHash, event: TorrentEvent) {
        self.with(info_hash, |shared| shared.tell(event));
    }

    fn save(&self, deed: Deed) {
        // The saver ends only after this thread.
        let _ = self.deeds.send(deed);
    }
}

/// Waits until every core has said that it runs; if one does not, the others are stopped.
fn await_start(cores: &[Core], hears: &Receiver<Message>) -> Result<(), StartError> {
    let mut started = 0;
    while started < cores.len() {
        let refusal = match hears.recv_timeout(START_WITHIN) {
            Ok(Message::Started(Ok(()))) => {
                started += 1;
                continue;
            }
            Ok(Message::Started(Err(refused))) => StartError::Refused(refused),
            Ok(Message::Happened(_)) => continue,
            Ok(Message::Broken(_)) | Err(RecvTimeoutError::Disconnected) => {
                StartError::System(io::Error::other("a core's thread ended while it started"))
            }
            Err(RecvTimeoutError::Timeout) => StartError::System(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "a core took longer than {} s to take its memory and start",
                    START_WITHIN.as_secs()
                ),
            )),
        };
        for core in cores {
            // Those that were refused are gone already.
            let _ = core.command(Command::Stop);
        }
        return Err(refusal);
    }
    Ok(())
}

fn settings(
    config: &Config,
    index: usize,
    cores: usize,
    peer_id: PeerId,
    throttles: &Arc<Throttles>,
) -> io::Result<Settings> {
    let share = |all: u32, descriptors_max: u32| all.min(descriptors_max).div_ceil(cores as u32);
    // Connections may take half of the descriptors there are and payload files a quarter, so that neither can leave
    // the other without; the rest is for rings, for checks, and for the program around this library.
    let descriptors = u32::try_from(descriptors::raise_limit()).unwrap_or(u32::MAX);
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(Settings {
        core: CoreIndex(index as u16),
        cores: cores as u16,
        peer_id,
        client: concat!("shoal/", env!("CARGO_PKG_VERSION")).to_owned(),
        upload_slots: match config.upload_slots {
            UploadSlots::Unlimited => Slots::Unlimited,
            UploadSlots::Limited(slots) => Slots::Fixed(slots),
            UploadSlots::ByRate => Slots::ByRate,
        },
        choking: config.choking,
        throttles: Arc::clone(throttles),
        peers_max: share(config.peers_max, descriptors / 2),
        peers_per_address_max: config.peers_per_address_max,
        requests_per_peer_max: config.requests_per_peer_max,
        handshake_timeout: config.handshake_timeout,
        idle_timeout: config.idle_timeout,
        send_stall_timeout: config.send_stall_timeout,
        seed: u64::from_le_bytes(seed),
        files_open_max: share(config.files_open_max, descriptors / 4),
    })
}

fn throttles(config: &Config) -> Throttles {
    let direction = |all: Limit, internet: Limit| Direction {
        all: Throttle::new(all.bytes_per_s()),
        internet: Throttle::new(internet.bytes_per_s()),
    };
    Throttles {
        download: direction(config.download_limit, config.internet_download_limit),
        upload: direction(config.upload_limit, config.internet_upload_limit),
        with_overhead: config.limits_count == LimitsCount::Traffic,
    }
}

/// The threads that hash what is fetched, on the cores' own CPUs: they sleep while nothing is.
fn hashing_pool(config: &Config, cpus: &[usize]) -> io::Result<Arc<pool::Pool>> {
    let threads = match config.hashing_threads {
        Auto::Auto => cpus.len(),
        Auto::Fixed(threads) => threads as usize,
    };
    let options = pool::Options {
        threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
        processors: cpus.to_vec(),
        waiting_max: kernel::JOBS_PER_CORE_MAX
            .saturating_mul(NonZeroUsize::new(cpus.len()).unwrap_or(NonZeroUsize::MIN)),
    };
    Ok(Arc::new(pool::Pool::new(&options)?))
}

fn extents_per_core(config: &Config, cores: usize) -> u32 {
    let extents_min = EXTENTS_MIN + config.piece_length_max.div_ceil(u64::from(EXTENT_LEN));
    let extents = (config.arena_size / cores as u64 / u64::from(EXTENT_LEN)).max(extents_min);
    u32::try_from(extents).unwrap_or(u32::MAX)
}

/// Where the files of a torrent lie that is served from one folder.
fn paths_of(seeding: &Seeding) -> Vec<PathBuf> {
    let files = seeding.metainfo.files().iter();
    files.map(|file| seeding.data.join(file.path.as_path())).collect()
}

fn for_shard(shared: &Shared, stamps: Vec<Option<FileStamp>>, fetch: Option<Fetch>) -> shoal_shard::Seeding {
    let metainfo = &shared.metainfo;
    shoal_shard::Seeding {
        info_hash: metainfo.info_hash(),
        layout: Arc::clone(metainfo.layout()),
        info: Arc::clone(metainfo.info()),
        paths: shared
            .paths
            .iter()
            .map(|path| Arc::from(path.as_path()))
            .collect(),
        have: shared.have(),
        stamps,
        fetch,
    }
}

fn add(sum: Stats, one: Stats) -> Stats {
    let (sum, one) = (sum.values(), one.values());
    Stats::from_values(std::array::from_fn(|index| sum[index] + one[index]))
}

fn random_peer_id() -> io::Result<PeerId> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    Ok(PeerId::ours(random))
}

/// The core that a torrent is on.
pub(crate) fn core_of<'c>(cores: &'c [Core], info_hash: &InfoHash) -> &'c Core {
    &cores[usize::from(Shard::owner(info_hash, cores.len() as u16).0)]
}

/// A panic elsewhere leaves the catalogue whole: every change to it is one insertion or removal.
pub(crate) fn lock(
    catalogue: &Mutex<BTreeMap<InfoHash, Arc<Shared>>>,
) -> std::sync::MutexGuard<'_, BTreeMap<InfoHash, Arc<Shared>>> {
    catalogue.lock().unwrap_or_else(PoisonError::into_inner)
}
