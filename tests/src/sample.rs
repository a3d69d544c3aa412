//! Torrents whose every byte is known in advance.
//!
//! A [`Sample`] is content generated from its name, the metainfo that describes it (BEP 3, written by the tests'
//! own bencode), and the layout that says which block stands where. It is written to disk for the program under
//! test and kept in memory to compare every received block with.
//!
//! It is not a metainfo parser, and it never asks the engine how long a piece is.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha1::{Digest, Sha1};

use crate::bencode::Value;
use crate::random::Random;

/// The block that every client asks for: 16 KiB (BEP 3).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// A place in a torrent, as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Which piece.
    pub piece: u32,
    /// Where in the piece the block begins, in bytes.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
}

/// A torrent: its content, its metainfo and its layout.
#[derive(Debug, Clone)]
pub struct Sample {
    name: String,
    files: Vec<SampleFile>,
    piece_len: u32,
    content: Vec<u8>,
    info: Value,
}

#[derive(Debug, Clone)]
struct SampleFile {
    /// Below the data directory; starts with the torrent's name.
    path: PathBuf,
    len: usize,
}

impl Sample {
    /// A torrent of one file.
    pub fn file(name: &str, len: usize, piece_len: u32) -> Sample {
        let content = Random::named(name).bytes(len);
        let files = vec![SampleFile {
            path: PathBuf::from(name),
            len,
        }];
        let info = common_info(name, piece_len, &content).with("length", integer(len));
        Sample {
            name: name.to_owned(),
            files,
            piece_len,
            content,
            info,
        }
    }

    /// A torrent of a directory: paths with `/` below it and lengths in bytes.
    pub fn directory(name: &str, files: &[(&str, usize)], piece_len: u32) -> Sample {
        let content = Random::named(name).bytes(files.iter().map(|(_, len)| len).sum());
        let listed = files
            .iter()
            .map(|(path, len)| {
                Value::dictionary([("length", integer(*len)), ("path", Value::texts(path.split('/')))])
            })
            .collect();
        let info = common_info(name, piece_len, &content).with("files", Value::List(listed));
        let files = files.iter().map(|(path, len)| SampleFile {
            path: Path::new(name).join(path),
            len: *len,
        });
        Sample {
            name: name.to_owned(),
            files: files.collect(),
            piece_len,
            content,
            info,
        }
    }

    /// The name in the metainfo: the file or the directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes the torrent has.
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Whether the torrent has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// The length of all pieces but the last, in bytes.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.content.len().div_ceil(self.piece_len as usize) as u32
    }

    /// All blocks in order, [`BLOCK_LEN`] each but for the last of a piece.
    pub fn blocks(&self) -> Vec<Block> {
        (0..self.pieces())
            .flat_map(|piece| self.blocks_of(piece))
            .collect()
    }

    /// The blocks of one piece.
    pub fn blocks_of(&self, piece: u32) -> Vec<Block> {
        let start = piece as usize * self.piece_len as usize;
        let len = (self.content.len() - start).min(self.piece_len as usize) as u32;
        let offsets = (0..len).step_by(BLOCK_LEN as usize);
        offsets
            .map(|offset| Block {
                piece,
                offset,
                len: BLOCK_LEN.min(len - offset),
            })
            .collect()
    }

    /// What the original has at this place.
    ///
    /// # Panics
    /// If the torrent has no such place: the test asked the wrong question.
    pub fn bytes_of(&self, block: Block) -> &[u8] {
        let start = block.piece as usize * self.piece_len as usize + block.offset as usize;
        &self.content[start..start + block.len as usize]
    }

    /// The info dictionary, as it stands in the metainfo.
    pub fn info(&self) -> &Value {
        &self.info
    }

    /// The SHA-1 of the info dictionary.
    pub fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(self.info.encode()).into()
    }

    /// The .torrent file, with or without a tracker.
    pub fn metainfo(&self, announce: Option<&str>) -> Vec<u8> {
        let metainfo = Value::dictionary([("info", self.info.clone())]);
        match announce {
            Some(url) => metainfo.with("announce", Value::bytes(url)).encode(),
            None => metainfo.encode(),
        }
    }

    /// The paths of the files below the data directory, in the torrent's order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The paths of the files and their lengths in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.files.iter().map(|file| (file.path.as_path(), file.len))
    }

    /// Writes the content below `directory`.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        for (path, bytes) in self.files_with_content() {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().expect("a joined path has a parent"))?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Compares every file below `directory` with the original.
    ///
    /// # Panics
    /// At the first file that is missing or differs, naming it.
    pub fn assert_present_in(&self, directory: &Path) {
        self.files_with_content()
            .for_each(|(path, bytes)| assert_same(&directory.join(path), bytes));
    }

    /// As [`Sample::assert_present_in`], for a client that does not create files without bytes.
    ///
    /// # Panics
    /// At the first file with bytes that is missing or differs, naming it.
    pub fn assert_bytes_present_in(&self, directory: &Path) {
        let files = self.files_with_content().filter(|(_, bytes)| !bytes.is_empty());
        files.for_each(|(path, bytes)| assert_same(&directory.join(path), bytes));
    }

    fn files_with_content(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        let mut rest = self.content.as_slice();
        self.files.iter().map(move |file| {
            let (bytes, after) = rest.split_at(file.len);
            rest = after;
            (file.path.as_path(), bytes)
        })
    }
}

fn assert_same(path: &Path, bytes: &[u8]) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found.len(), bytes.len(), "{}: length", path.display());
    let differs = found.iter().zip(bytes).position(|(left, right)| left != right);
    assert_eq!(differs, None, "{}: the first byte that differs", path.display());
}

/// The SHA-1 of `bytes` as people write it: 40 hexadecimal digits.
pub fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn common_info(name: &str, piece_len: u32, content: &[u8]) -> Value {
    let pieces = content
        .chunks(piece_len as usize)
        .flat_map(Sha1::digest)
        .collect();
    Value::dictionary([
        ("name", Value::bytes(name)),
        ("piece length", Value::Integer(i64::from(piece_len))),
        ("pieces", Value::Bytes(pieces)),
    ])
}

fn integer(len: usize) -> Value {
    Value::Integer(i64::try_from(len).expect("no sample is larger than memory"))
}

#[cfg(test)]
mod tests;
