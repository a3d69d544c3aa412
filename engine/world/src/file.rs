//! An open file by number, and what tells whether its bytes may have changed.

/// One open file of this core. The world chooses the number; it is reused only after the file was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File(pub u32);

/// What identifies the content of a file without reading it.
///
/// Taken with `statx(2)`. The kernel changes `modified_ns` before the first new byte of a write becomes readable, so
/// bytes read *before* a stamp was taken, and a stamp equal to that of an earlier moment, mean that those bytes are
/// the ones of that moment. This holds for stamps older than one tick of the coarse clock (at most 10 ms); a younger
/// one cannot tell a later write apart, so whoever verifies waits until it is older (git calls it "racily clean").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileStamp {
    /// Device number: major in the upper 32 bits, minor in the lower.
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of content, nanoseconds since 1970 (negative before it).
    pub modified_ns: i64,
    /// Time of the last change of content or attributes, nanoseconds since 1970. Nobody can set it back.
    pub changed_ns: i64,
    /// Number of hard links; 0 once the last name was deleted.
    pub links: u32,
    /// Type and permission bits (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How a file differs from what it was when it was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampChange {
    /// Nothing that matters for its bytes.
    None,
    /// Another file stands under the name.
    Replaced,
    /// The last name of the file was deleted.
    Deleted,
    /// The length differs.
    Resized {
        /// Length when verified, in bytes.
        from: u64,
        /// Length now, in bytes.
        to: u64,
    },
    /// The content was written to.
    Written,
    /// The change time moved and no attribute says why: someone may have written and then set the modification
    /// time back, so the bytes must be verified again before they are trusted.
    Suspect,
}

impl FileStamp {
    /// What happened between `self`, taken when the bytes were verified, and `now`.
    ///
    /// A hard link made or removed, `chmod` and `chown` move `changed_ns` too. Links, mode and owner are visible, so
    /// such a change explains itself; a change time that moved alone (a rename does that as well) is
    /// [`StampChange::Suspect`].
    pub fn change(&self, now: &FileStamp) -> StampChange {
        if (self.device, self.inode) != (now.device, now.inode) {
            StampChange::Replaced
        } else if now.links == 0 {
            StampChange::Deleted
        } else if self.size != now.size {
            StampChange::Resized {
                from: self.size,
                to: now.size,
            }
        } else if self.modified_ns != now.modified_ns {
            StampChange::Written
        } else if self.changed_ns == now.changed_ns || self.attributes() != now.attributes() {
            StampChange::None
        } else {
            StampChange::Suspect
        }
    }
    /// What moves the change time when it changes, and has nothing to do with the bytes.
    fn attributes(&self) -> (u32, u32, u32, u32) {
        (self.links, self.mode, self.uid, self.gid)
    }
}
