//! Files, framed extents and hashing: what a core asks of its disk and its memory.

use std::time::Duration;

use sha1::{Digest, Sha1};
use shoal_world::{Access, Completion, Extent, File, Op, Opened, PAGE_LEN, Part, ReadDone};
use slab::Slab;

use super::super::disk::{InodeNumber, Transfer};
use super::super::{Commons, errno};
use super::{Due, PROMPT, World};

/// A read under way.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    token: u32,
    file: File,
    offset: u64,
    extent: Extent,
    start: u32,
    len: u32,
    fails: bool,
}

/// A write under way.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    token: u32,
    file: File,
    offset: u64,
    extent: Extent,
    start: u32,
    len: u32,
    fails: bool,
}

#[derive(Debug)]
struct Handle {
    inode: InodeNumber,
    access: Access,
    under_way: u32,
}

/// The files that a core holds open.
#[derive(Debug, Default)]
pub(super) struct Handles {
    handles: Slab<Handle>,
}

impl Handles {
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn assert_idle(&self) {
        for (number, handle) in &self.handles {
            assert_eq!(handle.under_way, 0, "operations on file {number} never completed");
        }
    }

    fn expect(&mut self, file: File) -> &mut Handle {
        self.handles
            .get_mut(file.0 as usize)
            .expect("an operation named a closed file")
    }

    fn starts(&mut self, file: File) -> InodeNumber {
        let handle = self.expect(file);
        handle.under_way += 1;
        handle.inode
    }

    fn ends(&mut self, file: File) -> InodeNumber {
        let handle = self.expect(file);
        handle.under_way -= 1;
        handle.inode
    }

    fn close(&mut self, file: File) -> InodeNumber {
        assert_eq!(
            self.expect(file).under_way,
            0,
            "a file was closed with operations under way"
        );
        self.handles.remove(file.0 as usize).inode
    }
}

impl World {
    pub(super) fn perform_on_disk(&mut self, commons: &mut Commons, op: Op, fails: bool) {
        match op {
            Op::Open { token, path, access } => {
                self.start(b'o', token);
                commons.disks[self.options.disk].fail_once(fails);
                self.soon(commons, Due::Open(token, path, access));
            }
            Op::Stamp { token, path } => {
                self.start(b's', token);
                commons.disks[self.options.disk].fail_once(fails);
                self.soon(commons, Due::Stamp(token, path));
            }
            Op::CloseFile { file } => {
                let inode = self.handles.close(file);
                commons.disks[self.options.disk].close(inode);
                self.accept(commons, false);
            }
            Op::Read {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => {
                let aligned = [start, len].iter().all(|value| value.is_multiple_of(PAGE_LEN));
                assert!(
                    aligned && offset.is_multiple_of(u64::from(PAGE_LEN)),
                    "a read of something else than whole pages"
                );
                self.start(b'r', token);
                self.memory.start_filling(extent, start, len);
                let reading = Reading {
                    token,
                    file,
                    offset,
                    extent,
                    start,
                    len,
                    fails,
                };
                self.transfer(commons, file, Transfer::Read, offset, len, Due::Read(reading));
            }
            Op::Write {
                token,
                file,
                offset,
                extent,
                start,
                len,
            } => {
                assert!(len > 0, "a write of nothing");
                assert_eq!(
                    self.handles.expect(file).access,
                    Access::Write,
                    "a file that was opened for reading was written"
                );
                self.start(b'w', token);
                self.memory.start_using(&[Part::Extent { extent, start, len }]);
                let writing = Writing {
                    token,
                    file,
                    offset,
                    extent,
                    start,
                    len,
                    fails,
                };
                self.transfer(commons, file, Transfer::Write, offset, len, Due::Write(writing));
            }
            Op::Sync { token, file } => {
                self.start(b'y', token);
                self.transfer(commons, file, Transfer::Sync, 0, 0, Due::Sync(token, file));
            }
            Op::Hash { token, parts } => self.hash(commons, token, parts),
            Op::Fill { frame, gather } => {
                self.memory.start_framing(frame);
                self.memory.start_using(&gather.parts);
                self.memory.fill_fails(frame, fails);
                self.soon(commons, Due::Fill(frame, gather));
            }
            op => panic!("not an operation on disk or memory: {op:?}"),
        }
    }

    fn transfer(
        &mut self,
        commons: &mut Commons,
        file: File,
        transfer: Transfer,
        offset: u64,
        len: u32,
        due: Due,
    ) {
        let inode = self.handles.starts(file);
        let now = commons.clock.now();
        let at = commons.disks[self.options.disk].schedule(now, inode, transfer, offset, len);
        commons.clock.at(at, self.event(due));
    }

    fn hash(&mut self, commons: &mut Commons, token: u32, parts: Vec<Part>) {
        self.start(b'h', token);
        let len: u64 = parts.iter().map(|part| u64::from(part.len())).sum();
        assert!(
            parts.iter().all(|part| matches!(part, Part::Extent { .. })),
            "only extents are hashed"
        );
        self.memory.start_using(&parts);
        // A core hashes 2 GB/s.
        let mut delay = Duration::from_nanos(len / 2) + self.dice.duration(Duration::ZERO..=PROMPT);
        if self.dice.happens(self.faults.hash_slow) {
            delay += self.dice.duration(Duration::ZERO..=self.faults.slow_max);
        }
        commons.clock.after(delay, self.event(Due::Hash(token, parts)));
    }

    pub(super) fn due_on_disk(&mut self, commons: &mut Commons, due: Due) {
        let now = commons.clock.now();
        let disk = &mut commons.disks[self.options.disk];
        let completion = match due {
            Due::Open(token, path, access) => {
                self.end(b'o', token);
                let result = disk.open(now, &path, access).map(|inode| {
                    let handle = Handle {
                        inode,
                        access,
                        under_way: 0,
                    };
                    let file = File(self.handles.handles.insert(handle) as u32);
                    let stamp = disk.stamp(inode);
                    Opened { file, stamp }
                });
                Completion::Opened { token, result }
            }
            Due::Stamp(token, path) => {
                self.end(b's', token);
                let result = disk.look_at(&path);
                Completion::Stamped { token, result }
            }
            Due::Read(reading) => self.read_done(commons, reading),
            Due::Write(writing) => self.write_done(commons, writing),
            Due::Sync(token, file) => {
                self.end(b'y', token);
                let result = disk.sync(self.handles.ends(file));
                Completion::Synced { token, result }
            }
            Due::Hash(token, parts) => self.hash_done(token, &parts),
            Due::Fill(frame, gather) => {
                self.memory.stop_using(&gather.parts);
                let fails = self.dice.happens(self.faults.fill_error);
                let bytes = self.memory.gathered(&gather);
                let taken = self.memory.framed(frame, (!fails).then_some(bytes));
                let result = if taken { Ok(()) } else { Err(errno::ENOMEM) };
                Completion::Filled { frame, result }
            }
            due => panic!("not an operation on disk or memory: {due:?}"),
        };
        self.done.push(completion);
    }

    fn read_done(&mut self, commons: &mut Commons, reading: Reading) -> Completion {
        let Reading {
            token,
            file,
            offset,
            extent,
            start,
            len,
            fails,
        } = reading;
        self.end(b'r', token);
        let inode = self.handles.ends(file);
        let disk = &mut commons.disks[self.options.disk];
        let place = self.memory.filled(extent, start, len);
        let result = if fails {
            Err(errno::EIO)
        } else {
            disk.read(inode, offset, place)
        };
        let result = result.map(|len| ReadDone {
            len,
            stamp: disk.stamp(inode),
        });
        Completion::Read { token, result }
    }

    fn write_done(&mut self, commons: &mut Commons, writing: Writing) -> Completion {
        let Writing {
            token,
            file,
            offset,
            extent,
            start,
            len,
            fails,
        } = writing;
        self.end(b'w', token);
        let inode = self.handles.ends(file);
        self.memory.stop_using(&[Part::Extent { extent, start, len }]);
        let result = if fails {
            Err(errno::EIO)
        } else {
            let bytes = self.memory.bytes(extent, start, len);
            commons.disks[self.options.disk].write(commons.clock.now(), inode, offset, bytes)
        };
        Completion::Wrote { token, result }
    }

    fn hash_done(&mut self, token: u32, parts: &[Part]) -> Completion {
        self.end(b'h', token);
        let mut hasher = Sha1::new();
        for part in parts {
            if let Part::Extent { extent, start, len } = *part {
                hasher.update(self.memory.bytes(extent, start, len));
            }
        }
        self.memory.stop_using(parts);
        Completion::Hashed {
            token,
            digest: hasher.finalize().into(),
        }
    }
}
