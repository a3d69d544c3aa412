//! What is remembered of one torrent, as bytes: the record that `state` describes.
//!
//! Reading is as suspicious as of anything else that comes from a disk: every length is compared with what is left
//! before anything is made of it, and a record with bytes left over is none.

use shoal_proto::bitfield::{Bitfield, wire_len};
use shoal_proto::limits::{FILES_MAX, PIECES_MAX};
use shoal_world::FileStamp;

use super::Saved;

/// Bytes of the checksum at the end.
const CHECKSUM_LEN: usize = 8;

/// The bytes of a record.
pub(super) fn encode(saved: &Saved) -> Vec<u8> {
    let mut out = vec![u8::from(saved.complete)];
    out.extend(saved.uploaded_bytes.to_le_bytes());
    out.extend(saved.downloaded_bytes.to_le_bytes());
    out.extend(saved.pieces.pieces().to_le_bytes());
    saved.pieces.write_wire(&mut out);
    out.extend(count(saved.stamps.len()));
    for stamp in &saved.stamps {
        out.push(u8::from(stamp.is_some()));
        if let Some(stamp) = stamp {
            write_stamp(&mut out, stamp);
        }
    }
    out.extend(count(saved.priorities.len()));
    out.extend(&saved.priorities);
    let checksum = fnv_1a(&out);
    out.extend(checksum.to_le_bytes());
    out
}

/// What the bytes of a record say, unless they are not one.
pub(super) fn decode(record: &[u8]) -> Option<Saved> {
    let (body, checksum) = record.split_last_chunk::<CHECKSUM_LEN>()?;
    if u64::from_le_bytes(*checksum) != fnv_1a(body) {
        return None;
    }
    let mut reader = Reader(body);
    let saved = Saved {
        complete: reader.flag()?,
        uploaded_bytes: reader.u64()?,
        downloaded_bytes: reader.u64()?,
        pieces: reader.pieces()?,
        stamps: reader.stamps()?,
        priorities: reader.priorities()?,
    };
    reader.0.is_empty().then_some(saved)
}

fn count(len: usize) -> [u8; 4] {
    assert!(
        len <= FILES_MAX,
        "a torrent's files are limited where it is loaded"
    );
    (len as u32).to_le_bytes()
}

fn write_stamp(out: &mut Vec<u8>, stamp: &FileStamp) {
    for word in [stamp.device, stamp.inode, stamp.size] {
        out.extend(word.to_le_bytes());
    }
    for time in [stamp.modified_ns, stamp.changed_ns] {
        out.extend(time.to_le_bytes());
    }
    for word in [stamp.links, stamp.mode, stamp.uid, stamp.gid] {
        out.extend(word.to_le_bytes());
    }
}

/// FNV-1a of 64 bits: every single changed byte changes it, which is all that is asked of it here.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The bytes that are left. Every method takes some from the front, or says that they are not there.
struct Reader<'r>(&'r [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn slice(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn pieces(&mut self) -> Option<Bitfield> {
        let pieces = self.u32().filter(|pieces| *pieces <= PIECES_MAX)?;
        let bits = self.slice(wire_len(pieces))?;
        Bitfield::from_wire(bits, pieces).ok()
    }

    fn stamps(&mut self) -> Option<Vec<Option<FileStamp>>> {
        // Each takes at least its flag, so a count that lies ends with the bytes and before memory does.
        let files = self.u32()?;
        (0..files)
            .map(|_| {
                Some(match self.flag()? {
                    true => Some(self.stamp()?),
                    false => None,
                })
            })
            .collect()
    }

    fn stamp(&mut self) -> Option<FileStamp> {
        Some(FileStamp {
            device: self.u64()?,
            inode: self.u64()?,
            size: self.u64()?,
            modified_ns: self.i64()?,
            changed_ns: self.i64()?,
            links: self.u32()?,
            mode: self.u32()?,
            uid: self.u32()?,
            gid: self.u32()?,
        })
    }

    fn priorities(&mut self) -> Option<Vec<u8>> {
        let files = self.u32()?;
        self.slice(files as usize).map(<[u8]>::to_vec)
    }
}
