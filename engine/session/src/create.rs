//! Making a torrent of a file or folder: walk, plan, hash, write.
//!
//! [`Tree::walk`] says what is there, [`Plan::new`] refuses everything that could be refused before time is spent on
//! hashing, [`Plan::hash`] reads every byte once, [`store`] writes the torrent in one step. The files' stamps come out
//! beside the torrent, so that whoever made it can seed it at once without a second reading.
//!
//! Invariants:
//! - The same tree, piece length and `private` give the same info-hash, and it is mktorrent's and libtorrent's.
//! - A file that was not the same from the walk to the end of hashing fails the whole; nothing is written then.
//! - A torrent file is there whole or not at all, and one that was there before is never overwritten.

mod error;
mod store;
mod tree;

pub use error::CreateError;
pub use store::{Stored, store};
pub use tree::{Content, Hidden, Tree, TreeFile};

use shoal_proto::digest::Digest;
use shoal_proto::limits::PIECE_LENGTH_MAX;
use shoal_proto::metainfo::{
    self, Attributes, Built, EntryKind, FileEntry, MetainfoBuilder, piece_length_for,
};
use shoal_uring::scan::{self, Part, PartOutcome, Piece, Report, Source};
use shoal_world::FileStamp;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;

/// Piece lengths that may be asked for, powers of two only: one block, and the longest that any client reads.
pub const PIECE_LENGTHS: RangeInclusive<u64> = 16 * 1024..=PIECE_LENGTH_MAX as u64;

/// What a torrent says beside its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Bytes in a piece, one of [`PIECE_LENGTHS`]; chosen by the size of the data if not given.
    pub piece_length: Option<u32>,
    /// Trackers, tried in this order: each is a tier of its own (BEP 12).
    pub trackers: Vec<String>,
    /// Web servers with the same data (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers may come from the trackers only (BEP 27).
    pub private: bool,
    /// A text for people.
    pub comment: Option<String>,
    /// When it was made, in seconds since 1970; left out if not given.
    pub creation_date_s: Option<u64>,
}

/// A torrent of which everything but the hashes is known.
#[derive(Clone, Debug)]
pub struct Plan {
    tree: Tree,
    builder: MetainfoBuilder,
}

/// A torrent that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The torrent file, as bytes and as read back.
    pub built: Built,
    /// What each file was while it was hashed, in the order of the torrent.
    pub stamps: Vec<Option<FileStamp>>,
}

impl Plan {
    /// Plans the torrent of a tree.
    ///
    /// # Errors
    /// Anything about names, lengths or addresses that no torrent may have.
    pub fn new(tree: Tree, details: Details) -> Result<Plan, CreateError> {
        let piece_length = details
            .piece_length
            .unwrap_or_else(|| piece_length_for(tree.total_len()));
        let mut builder = MetainfoBuilder::new(tree.name.clone(), content(&tree), piece_length);
        builder.trackers = details
            .trackers
            .into_iter()
            .map(|address| vec![address])
            .collect();
        builder.web_seeds = details.web_seeds;
        builder.private = details.private;
        builder.comment = details.comment;
        builder.creation_date_s = details.creation_date_s;
        builder.created_by = Some(concat!("shoal/", env!("CARGO_PKG_VERSION")).to_owned());
        // It refuses what building would, and that is all it is asked for here.
        builder
            .layout()
            .map_err(|error| CreateError::of_builder(error, &tree))?;
        Ok(Plan { tree, builder })
    }

    /// Reads and hashes everything. `watch` hears how many bytes are done and may break off.
    ///
    /// # Errors
    /// A file could not be read or has changed since the walk, or the watcher broke off.
    pub fn hash(
        &self,
        options: &scan::Options,
        watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Created, CreateError> {
        let files = self.tree.paths();
        let part = |(path, len): &(PathBuf, u64)| Part {
            source: Source::File(path.clone()),
            len: *len,
        };
        let parts: Vec<Part> = files.iter().map(part).collect();
        let report = scan::scan(&parts, self.builder.piece_length, options, watch)?;
        let stamps = unchanged(&report, &files)?;
        let built = self
            .builder
            .build(&digests(&report))
            .map_err(|error| CreateError::of_builder(error, &self.tree))?;
        Ok(Created { built, stamps })
    }
}

fn content(tree: &Tree) -> metainfo::Content {
    match &tree.content {
        Content::File(len) => metainfo::Content::File {
            len: *len,
            attributes: Attributes::default(),
        },
        Content::Folder(files) => metainfo::Content::Folder(files.iter().map(entry).collect()),
    }
}

fn entry(file: &TreeFile) -> FileEntry {
    FileEntry {
        path: file.path.split('/').map(str::to_owned).collect(),
        len: file.len,
        kind: EntryKind::Regular(Attributes::default()),
    }
}

/// The stamps of the files if each was read as the walk had found it.
fn unchanged(report: &Report, files: &[(PathBuf, u64)]) -> Result<Vec<Option<FileStamp>>, CreateError> {
    let outcomes = report.parts.iter().zip(files);
    outcomes
        .map(|(outcome, (path, len))| match outcome {
            PartOutcome::Read(stamp) if stamp.size == *len => Ok(Some(*stamp)),
            PartOutcome::Refused(refusal) => Err(CreateError::Refused {
                path: path.clone(),
                refusal: *refusal,
            }),
            _ => Err(CreateError::Changed { path: path.clone() }),
        })
        .collect()
}

fn digests(report: &Report) -> Vec<Digest> {
    let digest = |piece: &Piece| match piece {
        Piece::Hashed(digest) => Digest::Sha1(*digest),
        Piece::Unread { .. } | Piece::Skipped => panic!("every file was read, so every piece was"),
    };
    report.pieces.iter().map(digest).collect()
}

#[cfg(test)]
mod tests;
