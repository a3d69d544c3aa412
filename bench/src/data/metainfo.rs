//! Writes the `.torrent` of one generated file (BEP 3), without any of the engine's code: what measures the engine must
//! not share its bugs.
//!
//! It writes only what the bench needs, and cannot read. Keys are in the sorted order that bencode asks for, so the
//! info-hash is the same for everybody who parses and writes it again.

use super::Shape;

/// A tracker that refuses every connection. rTorrent does not load a torrent without one; nobody needs it, because the
/// load generator knows where the seeder is.
const TRACKER: &[u8] = b"http://127.0.0.1:1/announce";

/// The bencoded info dictionary; its SHA-1 is the info-hash. A `salt` other than 0 gives the same data another info-hash,
/// by a key that nobody knows.
pub(super) fn info(name: &str, shape: Shape, hashes: &[u8], salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(hashes.len() + 200);
    out.push(b'd');
    string(&mut out, b"length");
    integer(&mut out, shape.length);
    string(&mut out, b"name");
    string(&mut out, name.as_bytes());
    string(&mut out, b"piece length");
    integer(&mut out, u64::from(shape.piece_length));
    string(&mut out, b"pieces");
    string(&mut out, hashes);
    if salt != 0 {
        string(&mut out, b"salt");
        integer(&mut out, salt);
    }
    out.push(b'e');
    out
}

/// The whole `.torrent` file around an info dictionary.
pub(super) fn file(info: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(info.len() + 100);
    out.push(b'd');
    string(&mut out, b"announce");
    string(&mut out, TRACKER);
    string(&mut out, b"created by");
    string(&mut out, b"shoal-bench");
    string(&mut out, b"info");
    out.extend_from_slice(info);
    out.push(b'e');
    out
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(format!("i{value}e").as_bytes());
}
