//! Kills `shoal download` again and again, and looks after every kill whether what its state claims is true.
//!
//! The seed is paced and counted: a life ends when the seed has begun a random number of blocks in it, so that kills land
//! in connecting, receiving, writing, syncing and committing alike. The seed of the random numbers is part of every
//! message; the kernel decides the rest, so a run that fails may have to be repeated a few times.
//!
//! What must hold after each kill:
//! - the state can be opened, and every piece that it claims is on disk, right by its SHA-1;
//! - nothing that was claimed after an earlier kill is missing in it;
//! - no piece that it claims is asked for in a later life.
//!
//! The state is read from a copy, because opening it repairs it, and that is the business of the next life. Files
//! are read through the page cache: this is about the end of a process, not of power, which the simulator's disk is for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha1::{Digest, Sha1};
use shoal::state::Store;
use shoal_proto::info_hash::InfoHash;

use crate::download::{assert_fetched, shoal_download, state_path};
use crate::place::Place;
use crate::process::Process;
use crate::random::Random;
use crate::sample::Sample;
use crate::scripted_seed::{Account, ScriptedSeed};

/// How often it is looked whether a process came to its end by itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is killed, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Names the random numbers.
    pub name: &'static str,
    /// Bytes of the torrent.
    pub len: usize,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// What the seed sends in a second.
    pub bytes_per_s: u32,
    /// Blocks after which a life ends at the latest.
    pub life_blocks_max: usize,
    /// Lives that end by a kill.
    pub kills: usize,
}

/// A download that is killed, begun again in another folder whenever it gets to its end.
struct Victim {
    plan: Plan,
    place: Place,
    sample: Arc<Sample>,
    torrent: PathBuf,
    seed: ScriptedSeed,
    out: PathBuf,
    /// What was claimed after the last kill.
    claimed: BTreeSet<u32>,
    /// Which folder.
    round: usize,
}

/// Carries out the plan; the download that survives ends with every byte right.
///
/// # Panics
/// If something that must hold does not.
pub fn kill_again_and_again(plan: Plan) {
    let mut victim = Victim::new(plan);
    let mut random = Random::named(plan.name);
    for kill in 1..=plan.kills {
        let blocks = random.below(plan.life_blocks_max + 1);
        let context = format!(
            "{:?}, kill {kill} of {}, after {blocks} blocks",
            plan.name, plan.kills
        );
        victim.live(blocks);
        victim.examine(&context);
    }
    victim.survive();
}

impl Victim {
    fn new(plan: Plan) -> Victim {
        let place = Place::new();
        let half = plan.len / 2;
        // Two files that meet inside of a piece and of a page.
        let files = [
            ("first.bin", half + 1_001),
            ("second.bin", plan.len - half - 1_001),
        ];
        let sample = Arc::new(Sample::directory(plan.name, &files, plan.piece_len));
        let torrent = place.add_metainfo(plan.name, &sample.metainfo(None));
        let seed = ScriptedSeed::paced(Ipv4Addr::LOCALHOST, &sample, plan.bytes_per_s);
        let out = place.path().join("out 0");
        Victim {
            plan,
            place,
            sample,
            torrent,
            seed,
            out,
            claimed: BTreeSet::new(),
            round: 0,
        }
    }

    fn start(&self) -> Process {
        Process::start(shoal_download(&self.torrent, &self.out, &[self.seed.address()]))
    }

    /// One life: until the seed has begun so many blocks, or there is nothing more to fetch.
    fn live(&mut self, blocks: usize) {
        let sent = self.seed.ledger().look(|account| account.sent.len());
        let mut process = self.start();
        let reached = |account: &Account| account.sent.len() >= sent + blocks;
        // It may come to its end before, which is a moment like any other.
        while !self.seed.ledger().reaches_within(LOOK_EVERY, reached) && !process.has_ended() {}
        process.kill();
        self.seed.ledger().wait_until(|account| account.visitors == 0);
    }

    /// Looks whether everything holds that must hold after a kill.
    fn examine(&mut self, context: &str) {
        let asked = self.seed.ledger().take_requests();
        let again: BTreeSet<u32> = asked.iter().map(|block| block.piece).collect();
        let twice: Vec<&u32> = again.intersection(&self.claimed).collect();
        assert!(
            twice.is_empty(),
            "{context}: durable and fetched again: {twice:?}"
        );
        let Some(claimed) = self.claims() else {
            // It goes when everything is there, and before the first beginning it has not come.
            if !self.claimed.is_empty() {
                self.begin_anew();
            }
            return;
        };
        let lost: Vec<&u32> = self.claimed.difference(&claimed).collect();
        assert!(lost.is_empty(), "{context}: claimed before and not now: {lost:?}");
        for piece in &claimed {
            self.assert_on_disk(*piece, context);
        }
        self.claimed = claimed;
    }

    /// The pieces that the state claims; nothing where there is no state.
    fn claims(&self) -> Option<BTreeSet<u32>> {
        let copy = self.place.path().join("copy.state");
        match fs::copy(state_path(&self.out, &self.sample), &copy) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            copied => copied.expect("the state can be copied"),
        };
        let store = Store::open(&copy).expect("the state survives a kill");
        let info_hash = InfoHash::V1(self.sample.info_hash());
        let saved = store.load(&info_hash).expect("the state survives a kill");
        let pieces = saved.map(|saved| saved.pieces);
        let claims = pieces.map(|pieces| pieces.present().map(|piece| piece.get()).collect());
        Some(claims.unwrap_or_default())
    }

    fn assert_on_disk(&self, piece: u32, context: &str) {
        let bytes = read_piece(&self.sample, &self.out, piece);
        let right: Vec<u8> = (self.sample.blocks_of(piece).iter())
            .flat_map(|block| self.sample.bytes_of(*block).to_vec())
            .collect();
        assert_eq!(
            Sha1::digest(&bytes),
            Sha1::digest(&right),
            "{context}: piece {piece} is claimed and not right on disk"
        );
    }

    /// All of it is there: the next kills hit another download.
    fn begin_anew(&mut self) {
        self.sample.assert_present_in(&self.out);
        fs::remove_dir_all(&self.out).expect("the folder is ours");
        self.round += 1;
        self.out = self.place.path().join(format!("out {}", self.round));
        self.claimed.clear();
    }

    /// The life after the last kill is not disturbed.
    fn survive(self) {
        let finished = self.start().finish();
        assert_fetched(&finished, &self.sample, &self.out);
        let asked = self.seed.ledger().take_requests();
        let twice = asked.iter().find(|block| self.claimed.contains(&block.piece));
        assert_eq!(twice, None, "{:?}: durable and fetched again", self.plan.name);
    }
}

/// A piece as it stands in the files below `directory`.
fn read_piece(sample: &Sample, directory: &Path, piece: u32) -> Vec<u8> {
    let start = u64::from(piece) * u64::from(sample.piece_len());
    let end = (start + u64::from(sample.piece_len())).min(sample.len() as u64);
    let mut bytes = Vec::new();
    let mut file_start = 0;
    for (path, len) in sample.files() {
        let file_end = file_start + len as u64;
        let (from, to) = (start.max(file_start), end.min(file_end));
        if from < to {
            let mut part = vec![0; (to - from) as usize];
            let file = File::open(directory.join(path)).expect("a file with pieces exists");
            file.read_exact_at(&mut part, from - file_start)
                .expect("a file with pieces is as long as the torrent says");
            bytes.append(&mut part);
        }
        file_start = file_end;
    }
    bytes
}
