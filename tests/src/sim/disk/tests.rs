use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_world::{Access, StampChange, Time};

use super::super::dice::Chance;
use super::super::errno;
use super::super::faults::Faults;
use super::super::torrent::generate;
use super::{Content, Disk, Drive, InodeNumber, Transfer};

const NOW: Time = Time::ZERO;
const KEY: Content = Content::Generated { key: 5, start: 1_000 };

fn path() -> Arc<Path> {
    Arc::from(Path::new("/file"))
}

fn disk_with(len: u64) -> (Disk, InodeNumber) {
    let mut disk = Disk::new(1, Drive::FLASH);
    let inode = disk.put(NOW, &path(), KEY, len);
    (disk, inode)
}

fn read(disk: &mut Disk, inode: InodeNumber, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    let read = disk.read(inode, offset, &mut bytes).expect("the disk is sound");
    bytes.truncate(read as usize);
    bytes
}

#[test]
fn a_terabyte_costs_nothing_and_has_its_own_bytes() {
    let (mut disk, inode) = disk_with(1 << 40);
    let mut expected = [0; 100];
    generate(5, 1_000 + (1 << 39), &mut expected);
    assert_eq!(read(&mut disk, inode, 1 << 39, 100), expected);
    assert_eq!(read(&mut disk, inode, (1 << 40) - 10, 100).len(), 10);
    assert_eq!(read(&mut disk, inode, 1 << 41, 100).len(), 0);
}

#[test]
fn what_was_written_is_read_and_changes_the_stamp() {
    let (mut disk, inode) = disk_with(20_000);
    let before = disk.stamp(inode);
    disk.write(NOW, inode, 4_000, b"over a page's edge, and further")
        .unwrap();
    assert_eq!(read(&mut disk, inode, 4_005, 8), b"a page's");
    let mut around = [0; 2];
    generate(5, 1_000 + 3_998, &mut around);
    assert_eq!(read(&mut disk, inode, 3_998, 2), around);
    assert_eq!(before.change(&disk.stamp(inode)), StampChange::Written);
    let before = disk.stamp(inode);
    disk.forge(NOW, inode, 0, b"x");
    assert_eq!(before.change(&disk.stamp(inode)), StampChange::Suspect);
    disk.truncate(NOW, inode, 7);
    let after = disk.stamp(inode);
    assert_eq!(
        before.change(&after),
        StampChange::Resized { from: 20_000, to: 7 }
    );
    disk.open(NOW, &path(), Access::Read).unwrap();
    disk.delete(NOW, &path());
    assert_eq!(before.change(&disk.stamp(inode)), StampChange::Deleted);
}

/// Over many crashes: what was synced is always there, what was not is there, partly there, or not.
#[test]
fn a_crash_keeps_what_is_durable_and_some_of_the_rest() {
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..100 {
        let mut disk = Disk::new(seed, Drive::FLASH);
        let inode = disk.put(NOW, &path(), Content::Zeroes, 8_192);
        disk.write(NOW, inode, 0, &[1; 4_096]).unwrap();
        disk.sync(inode).unwrap();
        disk.write(NOW, inode, 4_096, &[2; 4_096]).unwrap();
        disk.crash();
        assert_eq!(read(&mut disk, inode, 0, 4_096), [1; 4_096]);
        let rest = read(&mut disk, inode, 4_096, 4_096);
        match rest.iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            4_096 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 10 && kept > 10 && torn > 10, "{lost} {kept} {torn}");
}

#[test]
fn what_a_failed_sync_was_for_is_not_durable_although_the_next_one_succeeds() {
    let (mut disk, inode) = disk_with(4_096);
    disk.write(NOW, inode, 0, b"lost").unwrap();
    disk.faults = Faults {
        sync_error: Chance(1_000_000),
        ..Faults::NONE
    };
    assert_eq!(disk.sync(inode), Err(errno::EIO));
    disk.faults = Faults::NONE;
    disk.sync(inode).unwrap();
    assert_eq!(read(&mut disk, inode, 0, 4), b"lost");
    disk.crash();
    assert_ne!(read(&mut disk, inode, 0, 4), b"lost");
}

#[test]
fn a_full_disk_takes_what_needs_no_space_and_later_takes_more() {
    let (mut disk, inode) = disk_with(4_096);
    let second = Time::ZERO + Duration::from_secs(1);
    disk.fill_up(second);
    assert_eq!(disk.write(NOW, inode, 0, b"in place"), Ok(()));
    assert_eq!(disk.write(NOW, inode, 8_192, b"new"), Err(errno::ENOSPC));
    assert_eq!(disk.write(second, inode, 8_192, b"new"), Ok(()));
    disk.limit_space(Some(4_096));
    assert_eq!(disk.write(second, inode, 16_384, &[1; 8_192]), Err(errno::ENOSPC));
    assert_eq!(disk.write(second, inode, 16_384, &[1; 4_096]), Ok(()));
}

#[test]
fn a_bad_sector_fails_until_it_is_written_and_rot_is_silent() {
    let (mut disk, inode) = disk_with(20_000);
    disk.damage(inode, 1);
    assert_eq!(disk.read(inode, 0, &mut [0; 8_192]), Err(errno::EIO));
    assert_eq!(read(&mut disk, inode, 0, 4_096).len(), 4_096);
    disk.write(NOW, inode, 4_096, &[3; 4_096]).unwrap();
    assert_eq!(read(&mut disk, inode, 4_096, 4_096), [3; 4_096]);
    let (before, stamp) = (read(&mut disk, inode, 8_192, 4_096), disk.stamp(inode));
    disk.rot(inode, 2);
    assert_ne!(read(&mut disk, inode, 8_192, 4_096), before);
    assert_eq!(disk.stamp(inode), stamp);
    disk.heal();
    assert_eq!(read(&mut disk, inode, 8_192, 4_096), before);
}

#[test]
fn a_spinning_disk_seeks_and_serves_one_at_a_time() {
    let mut disk = Disk::new(1, Drive::SPINNING);
    let inode = disk.put(NOW, &path(), KEY, 1 << 30);
    let first = disk.schedule(NOW, inode, Transfer::Read, 0, 1 << 20);
    let next = disk.schedule(NOW, inode, Transfer::Read, 1 << 20, 1 << 20);
    let far = disk.schedule(NOW, inode, Transfer::Read, 1 << 29, 1 << 20);
    assert!(first.since(NOW) > Drive::SPINNING.seek);
    assert!(
        next.since(first) < Drive::SPINNING.seek,
        "what continues needs no seek"
    );
    assert!(far.since(next) > Drive::SPINNING.seek);
}
