//! A power cut at any moment: of what was written since the last sync any part may be missing.
//!
//! A recording disk below redb keeps every change in order. A cut takes what was synced before it and plays any
//! subset of the rest on top, each write torn into sectors of which any may be missing. Then the state is opened as
//! after the reboot: the last batch whose saving returned is there, or the one that was under way, and whichever it
//! is, whole.

use super::{Store, builder, found, info_hash, saved};
use redb::StorageBackend;
use shoal_world::Rng;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR_LEN: usize = 512;

/// Batches that are saved, one after another, before and between the cuts.
const BATCHES: usize = 12;

/// Different subsets that are tried for each moment of a cut.
const SUBSETS: u64 = 6;

/// One change of the disk.
#[derive(Clone, Debug)]
enum Change {
    Written {
        offset: usize,
        bytes: Vec<u8>,
    },
    Resized(usize),
    Synced,
    /// Saving this batch returned: no change, but a promise.
    Promised(usize),
}

/// A disk in memory that remembers how it became what it is.
#[derive(Clone, Debug, Default)]
struct Disk {
    state: Arc<Mutex<(Vec<u8>, Vec<Change>)>>,
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Disk {
        Disk {
            state: Arc::new(Mutex::new((bytes, Vec::new()))),
        }
    }

    fn record(&self, change: Change) {
        let mut state = self.state.lock().expect("no panic while it was locked");
        apply(&mut state.0, &change);
        state.1.push(change);
    }

    fn changes(&self) -> Vec<Change> {
        self.state.lock().expect("no panic while it was locked").1.clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().expect("no panic while it was locked").0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock().expect("no panic while it was locked");
        let offset = offset as usize;
        let bytes = state.0.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.record(Change::Resized(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.record(Change::Synced);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let offset = offset as usize;
        let bytes = data.to_vec();
        self.record(Change::Written { offset, bytes });
        Ok(())
    }
}

fn apply(disk: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Written { offset, bytes } => {
            // A resize that was lost does not stop what was written behind the old end.
            let end = offset + bytes.len();
            disk.resize(disk.len().max(end), 0);
            disk[*offset..end].copy_from_slice(bytes);
        }
        Change::Resized(len) => disk.resize(*len, 0),
        Change::Synced | Change::Promised(_) => {}
    }
}

/// Any part of a change: nothing, all, or some sectors of it.
fn apply_some(disk: &mut Vec<u8>, change: &Change, rng: &mut Rng) {
    match (change, rng.below(4)) {
        (_, 0) => {}
        (Change::Written { offset, bytes }, 1) => {
            for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
                if rng.below(2) == 0 {
                    let offset = offset + index * SECTOR_LEN;
                    let bytes = sector.to_vec();
                    apply(disk, &Change::Written { offset, bytes });
                }
            }
        }
        _ => apply(disk, change),
    }
}

/// A batch of two torrents, which must never be seen with different counts.
fn batch(number: usize) -> [(shoal_proto::info_hash::InfoHash, super::Saved); 2] {
    [1, 2].map(|torrent| (info_hash(torrent), saved(number)))
}

/// Everything that happens to the disk of a state that saves [`BATCHES`] batches and is closed.
fn history() -> (Vec<u8>, Vec<Change>) {
    let beginning = Disk::default();
    let database = builder()
        .create_with_backend(beginning.clone())
        .expect("a database");
    found(&database).expect("tables");
    drop(database);
    let bytes = beginning
        .state
        .lock()
        .expect("no panic while it was locked")
        .0
        .clone();
    let disk = Disk::of(bytes.clone());
    let database = builder().create_with_backend(disk.clone()).expect("a database");
    let store = Store::on(database, Path::new("state")).expect("a state");
    for number in 1..=BATCHES {
        store.save(&batch(number)).expect("saved");
        disk.record(Change::Promised(number));
    }
    drop(store);
    (bytes, disk.changes())
}

/// What the disk holds when the power goes after `cut` changes: all that was synced, and some of the rest.
fn after_cut(beginning: &[u8], changes: &[Change], cut: usize, rng: &mut Rng) -> Vec<u8> {
    let synced = changes[..cut]
        .iter()
        .rposition(|change| matches!(change, Change::Synced))
        .map_or(0, |at| at + 1);
    let mut disk = beginning.to_vec();
    for change in &changes[..synced] {
        apply(&mut disk, change);
    }
    for change in &changes[synced..cut] {
        apply_some(&mut disk, change, rng);
    }
    disk
}

#[test]
fn after_a_power_cut_the_last_batch_or_the_one_under_way_is_there_whole() {
    let (beginning, changes) = history();
    let mut promised = 0;
    for cut in 0..=changes.len() {
        if let Some(Change::Promised(number)) = cut.checked_sub(1).map(|last| &changes[last]) {
            promised = *number;
        }
        for seed in 0..SUBSETS {
            let what = format!("a cut after {cut} of {} changes, seed {seed}", changes.len());
            let mut rng = Rng::new(seed << 32 | cut as u64);
            let disk = Disk::of(after_cut(&beginning, &changes, cut, &mut rng));
            let database = builder().create_with_backend(disk);
            let database = database.unwrap_or_else(|error| panic!("{what}: {error}"));
            let store = Store::on(database, Path::new("state"));
            let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
            let loaded = [1, 2].map(|torrent| store.load(&info_hash(torrent)).expect(&what));
            let is = |number: usize| {
                loaded.iter().all(|found| match number {
                    0 => found.is_none(),
                    number => *found == Some(saved(number)),
                })
            };
            assert!(is(promised) || is(promised + 1), "{what}: {loaded:?}");
        }
    }
    assert_eq!(promised, BATCHES);
}
