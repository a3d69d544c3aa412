use std::path::PathBuf;

use shoal_world::{Errno, FileStamp, Refusal};

use super::{Findings, Observation, Seen, report};
use crate::scan::space::Space;
use crate::scan::{Part, PartOutcome, Source};

fn stamp(changed_ns: i64, size: u64) -> FileStamp {
    FileStamp {
        device: 1,
        inode: 2,
        size,
        modified_ns: changed_ns,
        changed_ns,
        links: 1,
        mode: libc::S_IFREG | 0o644,
        uid: 0,
        gid: 0,
    }
}

fn file(before: FileStamp, after: FileStamp) -> Seen {
    Seen::File { before, after }
}

/// What becomes of a part of 0 bytes of which workers saw this, in this order and in the opposite one.
fn check(seen: &[Seen], expected: PartOutcome) {
    let parts = [Part {
        source: Source::File(PathBuf::from("file")),
        len: 0,
    }];
    let space = Space::new(&parts, 16);
    let observations: Vec<Observation> = seen
        .iter()
        .map(|seen| Observation { part: 0, seen: *seen })
        .collect();
    let reversed: Vec<Observation> = observations.iter().rev().copied().collect();
    for observations in [observations, reversed] {
        let findings = Findings {
            pieces: Vec::new(),
            observations,
        };
        assert_eq!(report(&space, None, vec![findings]).parts, [expected]);
    }
}

#[test]
fn a_file_that_all_saw_alike_was_read() {
    let one = stamp(1, 10);
    check(&[file(one, one)], PartOutcome::Read(one));
    check(
        &[file(one, one), file(one, one), file(one, one)],
        PartOutcome::Read(one),
    );
}

#[test]
fn a_file_that_changed_under_one_worker_has_changed() {
    let (before, after) = (stamp(1, 10), stamp(2, 10));
    check(&[file(before, after)], PartOutcome::Changed { before, after });
}

#[test]
fn a_failure_outweighs_a_file() {
    let one = stamp(1, 10);
    check(&[file(one, one), Seen::Missing], PartOutcome::Missing);
    let refusal = Refusal::Errno(Errno(libc::EIO));
    check(
        &[file(one, one), Seen::Refused(refusal)],
        PartOutcome::Refused(refusal),
    );
}

#[test]
fn a_file_that_two_workers_saw_differently_has_changed() {
    let (one, other) = (stamp(1, 10), stamp(2, 10));
    let parts = [Part {
        source: Source::File(PathBuf::from("file")),
        len: 0,
    }];
    let space = Space::new(&parts, 16);
    let observation = |stamp| {
        vec![Observation {
            part: 0,
            seen: file(stamp, stamp),
        }]
    };
    let findings = [one, other].map(|stamp| Findings {
        pieces: Vec::new(),
        observations: observation(stamp),
    });
    let outcome = report(&space, None, Vec::from(findings)).parts[0];
    assert_eq!(
        outcome,
        PartOutcome::Changed {
            before: one,
            after: other
        }
    );
}
