//! The torrents that are measured: generated, written once, reused afterwards.
//!
//! A [`Recipe`] names a torrent; [`Recipe::prepare`] makes its data file and its `.torrent` below the work directory, or
//! takes what an earlier run left there if that is still right. The content is a function of (seed, offset), so the load
//! generator can verify every byte it receives without reading the file.
//!
//! The data is written around the page cache where the file system allows it: that is several times faster on most disks,
//! and it leaves the cold scenarios a cold file. What is not done here: nothing is ever deleted. The work directory is
//! the user's, its size is printed when data is generated, and removing it is always safe.
//!
//! Invariant: a `.torrent` with its stamp beside it exists only after all its data was written and synced.

mod content;
mod metainfo;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise, posix_fallocate};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

pub(crate) use content::Content;

/// Changes when the same recipe would give other bytes, so that data of an older bench is not taken for ours.
const GENERATION: u32 = 3;

/// O_DIRECT wants memory, offsets and lengths in multiples of the device's block; 4 KiB covers every device we know.
const ALIGNMENT: usize = 4096;

/// One write or read of bulk data, in bytes: long enough for any disk to reach its full speed.
const TRANSFER_LEN: usize = 1 << 20;

const _: () = assert!(TRANSFER_LEN.is_multiple_of(ALIGNMENT));

/// How a torrent is divided: enough to say which blocks exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Length of the one file, in bytes.
    pub(crate) length: u64,
    /// Length of every piece but the last, in bytes.
    pub(crate) piece_length: u32,
}

impl Shape {
    /// Number of pieces.
    pub(crate) fn pieces(&self) -> u32 {
        u32::try_from(self.length.div_ceil(u64::from(self.piece_length)))
            .expect("a bench torrent has few pieces")
    }

    /// Length of one piece, in bytes: the last one may be shorter.
    pub(crate) fn piece_len(&self, piece: u32) -> u32 {
        let begin = u64::from(piece) * u64::from(self.piece_length);
        u32::try_from((self.length - begin).min(u64::from(self.piece_length))).expect("bounded by a u32")
    }
}

/// What a torrent is made from. The same recipe always gives the same bytes and the same info-hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    /// Name of the torrent and, with `.bin`, of its only file.
    pub(crate) name: String,
    /// Chooses the content.
    pub(crate) seed: u64,
    /// Its size and division.
    pub(crate) shape: Shape,
    /// Where shoal shall place it.
    pub(crate) place: Place,
}

/// A core out of several. shoal gives a torrent to the core whose number is the info-hash's first four bytes modulo the
/// number of cores; a scenario about cores must not leave that to luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Number of the core.
    pub(crate) core: u32,
    /// Number of cores; 1 for torrents that may lie anywhere.
    pub(crate) of: u32,
}

impl Place {
    /// Wherever it happens to be.
    pub(crate) const ANY: Place = Place { core: 0, of: 1 };

    fn admits(self, info_hash: [u8; 20]) -> bool {
        let [first, second, third, fourth, ..] = info_hash;
        u32::from_be_bytes([first, second, third, fourth]) % self.of == self.core
    }
}

/// What is written beside a finished torrent, to recognise it later.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    generation: u32,
    recipe: Recipe,
    info_hash: [u8; 20],
}

/// A torrent whose data lies complete on the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Torrent {
    /// Identifies it on the wire.
    pub(crate) info_hash: [u8; 20],
    /// Its size and division.
    pub(crate) shape: Shape,
    /// What its bytes must be.
    pub(crate) content: Content,
    /// The `.torrent` file.
    pub(crate) metainfo: PathBuf,
    /// The data file.
    pub(crate) file: PathBuf,
}

impl Recipe {
    /// A torrent of `length` bytes in pieces of `piece_length`, whose content follows from its name.
    pub(crate) fn new(name: &str, length: u64, piece_length: u32) -> Recipe {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        Recipe {
            name: name.to_owned(),
            seed,
            shape: Shape { length, piece_length },
            place: Place::ANY,
        }
    }

    /// Takes the torrent from the work directory, or generates it there.
    pub(crate) fn prepare(&self, work: &Path) -> Result<Torrent> {
        fs::create_dir_all(directory(work)).with_context(|| format!("cannot create {}", work.display()))?;
        let file = directory(work).join(format!("{}.bin", self.name));
        let metainfo = work.join(format!("{}.torrent", self.name));
        let stamp = work.join(format!("{}.json", self.name));
        let info_hash = match self.reusable(&file, &metainfo, &stamp) {
            Some(info_hash) => info_hash,
            None => self.generate(&file, &metainfo, &stamp)?,
        };
        Ok(Torrent {
            info_hash,
            shape: self.shape,
            content: Content::new(self.seed),
            metainfo,
            file,
        })
    }

    /// The info-hash of what is on the disk, if it is this recipe and holds the right bytes wherever we look. The time of
    /// its last change says nothing: some clients set it without changing anything.
    fn reusable(&self, file: &Path, metainfo: &Path, stamp: &Path) -> Option<[u8; 20]> {
        let found: Stamp = serde_json::from_slice(&fs::read(stamp).ok()?).ok()?;
        let right = found.generation == GENERATION
            && found.recipe == *self
            && metainfo.exists()
            && self.sample_is_right(file).ok()?;
        right.then_some(found.info_hash)
    }

    /// Compares a few blocks, spread over the file, with the generator.
    fn sample_is_right(&self, file: &Path) -> Result<bool> {
        const SAMPLES: u64 = 64;
        const SAMPLE_LEN: usize = 16 << 10;
        let opened = File::open(file)?;
        if opened.metadata()?.len() != self.shape.length {
            return Ok(false);
        }
        let content = Content::new(self.seed);
        for sample in 0..SAMPLES {
            let offset = self.shape.length / SAMPLES * sample / ALIGNMENT as u64 * ALIGNMENT as u64;
            let mut read = vec![0; SAMPLE_LEN.min((self.shape.length - offset) as usize)];
            opened.read_exact_at(&mut read, offset)?;
            if !content.matches(offset, &read) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn generate(&self, file: &Path, metainfo: &Path, stamp: &Path) -> Result<[u8; 20]> {
        eprintln!("generating {} ({} MiB)", file.display(), self.shape.length >> 20);
        for stale in [metainfo, stamp] {
            let _ = fs::remove_file(stale);
        }
        let hashes = self
            .write_data(file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let (info, info_hash) = (0..)
            .map(|salt| metainfo::info(&format!("{}.bin", self.name), self.shape, &hashes, salt))
            .map(|info| (<[u8; 20]>::from(Sha1::digest(&info)), info))
            .find_map(|(hash, info)| self.place.admits(hash).then_some((info, hash)))
            .expect("one of many digests falls on every core");
        fs::write(metainfo, metainfo::file(&info))?;
        let found = Stamp {
            generation: GENERATION,
            recipe: self.clone(),
            info_hash,
        };
        fs::write(stamp, serde_json::to_vec_pretty(&found)?)?;
        Ok(info_hash)
    }

    /// Writes the data on all cores and returns the SHA-1 of every piece, one after another.
    fn write_data(&self, path: &Path) -> Result<Vec<u8>> {
        let file = create_direct(path).or_else(|_| create_buffered(path))?;
        posix_fallocate(&file, 0, i64::try_from(self.shape.length)?)?;
        let workers = u32::try_from(thread::available_parallelism().map_or(1, usize::from))?;
        let share = self.shape.pieces().div_ceil(workers);
        let hashes = thread::scope(|scope| {
            let writers: Vec<_> = (0..workers)
                .map(|worker| {
                    let pieces = worker * share..((worker + 1) * share).min(self.shape.pieces());
                    let file = &file;
                    scope.spawn(move || self.write_pieces(file, pieces))
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().expect("a writer panicked"))
                .collect::<Result<Vec<_>>>()
        })?;
        // The direct writes were rounded up to whole disk blocks.
        file.set_len(self.shape.length)?;
        file.sync_all()?;
        Ok(hashes.concat())
    }

    fn write_pieces(&self, file: &File, pieces: std::ops::Range<u32>) -> Result<Vec<u8>> {
        let content = Content::new(self.seed);
        let mut buffer = AlignedBuffer::new(TRANSFER_LEN);
        let mut hashes = Vec::with_capacity(pieces.len() * 20);
        for piece in pieces {
            let begin = u64::from(piece) * u64::from(self.shape.piece_length);
            let end = begin + u64::from(self.shape.piece_len(piece));
            let mut hash = Sha1::new();
            for offset in (begin..end).step_by(TRANSFER_LEN) {
                let len = TRANSFER_LEN.min((end - offset) as usize);
                content.fill(offset, &mut buffer.bytes()[..len]);
                hash.update(&buffer.bytes()[..len]);
                file.write_all_at(&buffer.bytes()[..len.next_multiple_of(ALIGNMENT)], offset)?;
            }
            hashes.extend_from_slice(&hash.finalize());
        }
        Ok(hashes)
    }
}

impl Torrent {
    /// The name of its file, which is also how clients show it.
    pub(crate) fn directory(&self) -> &Path {
        self.file.parent().expect("the file was joined to a directory")
    }

    /// Drops the data from the page cache, so that the next reader needs the disk. Says so when some of it stays.
    pub(crate) fn evict(&self) -> Result<()> {
        let file = File::open(&self.file)?;
        file.sync_all()?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        if let Some(resident) = self
            .resident()
            .filter(|&resident| resident > self.shape.length / 100)
        {
            eprintln!(
                "note: {} MiB of {} stay in the page cache (somebody has it mapped or is reading it)",
                resident >> 20,
                self.file.display()
            );
        }
        Ok(())
    }

    /// The same torrent with its data in another directory.
    pub(crate) fn at(&self, directory: &Path) -> Torrent {
        let name = self.file.file_name().expect("the file was joined to a directory");
        Torrent {
            file: directory.join(name),
            ..self.clone()
        }
    }

    /// Reads all of the data and compares every byte with what it must be.
    pub(crate) fn compare(&self) -> Result<()> {
        let shown = self.file.display();
        let mut file = File::open(&self.file).with_context(|| format!("cannot read {shown}"))?;
        let (len, expected_len) = (file.metadata()?.len(), self.shape.length);
        ensure!(
            len == expected_len,
            "{shown} has {len} bytes instead of {expected_len}"
        );
        let mut buffer = vec![0; TRANSFER_LEN];
        for offset in (0..expected_len).step_by(TRANSFER_LEN) {
            let bytes = &mut buffer[..TRANSFER_LEN.min((expected_len - offset) as usize)];
            file.read_exact(bytes)?;
            ensure!(
                self.content.matches(offset, bytes),
                "{shown} is wrong in the MiB that begins at byte {offset}"
            );
        }
        Ok(())
    }

    /// Reads all of the data into the page cache.
    pub(crate) fn preload(&self) -> Result<()> {
        let mut file = File::open(&self.file)?;
        let mut buffer = vec![0; TRANSFER_LEN];
        while file.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Bytes of the data that are in the page cache, if `fincore` (util-linux) is there to tell.
    fn resident(&self) -> Option<u64> {
        let output = Command::new("fincore")
            .args(["-bnro", "RES"])
            .arg(&self.file)
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    }
}

/// Where the data files lie: the directory that every client is given as its download directory.
fn directory(work: &Path) -> PathBuf {
    work.join("data")
}

fn create_direct(path: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_DIRECT.bits();
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags)
        .open(path)
}

/// For file systems without O_DIRECT (tmpfs, some network file systems).
fn create_buffered(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// Checks that the work directory has room for `needed` bytes, so that a run does not die half way.
pub(crate) fn ensure_room(work: &Path, needed: u64) -> Result<()> {
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
    let disk = nix::sys::statvfs::statvfs(work)?;
    let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
    ensure!(
        free > needed,
        "{} has {} MiB free, this run may write {} MiB; choose another directory with --work",
        work.display(),
        free >> 20,
        needed >> 20
    );
    Ok(())
}

/// A buffer that O_DIRECT accepts.
struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    fn new(len: usize) -> AlignedBuffer {
        let memory = vec![0; len + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        AlignedBuffer { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
