//! A file system of limited size in memory, for as long as a test runs.
//!
//! Mounting needs a right that few test runs have; a test asks [`Mounted::tmpfs`] and returns early when the answer is
//! `None`, which prints `skip: NAME: reason`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::skip;

/// A tmpfs, taken away with the value.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// A file system of so many bytes at `path`, which is made. `None`, after saying so, where it is not allowed.
    ///
    /// # Panics
    /// If the folder cannot be made, or if `CI=true` and it cannot be mounted.
    pub fn tmpfs(path: &Path, len: u64) -> Option<Mounted> {
        fs::create_dir_all(path).expect("a writable place");
        let options = format!("size={len}");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "shoal-test"])
            .arg(path);
        let mounted = mount.stdin(Stdio::null()).output();
        let refused = match mounted {
            Ok(output) if output.status.success() => {
                return Some(Mounted {
                    path: path.to_owned(),
                });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        skip("tmpfs", &refused)
    }

    /// Forbids or allows writing. No file may be open for it.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn set_read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        let remounted = Command::new("mount")
            .args(["-o", option])
            .arg(&self.path)
            .output();
        let remounted = remounted.expect("mount ran a moment ago");
        assert!(remounted.status.success(), "{remounted:?}");
    }

    /// Takes room away, by a file that is returned. Asked for more than there is, it takes all.
    ///
    /// # Panics
    /// If the file cannot be made.
    pub fn fill(&self, len: u64) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .expect("a fresh file");
        let page = [0xf1; 4096];
        for _ in 0..len.div_ceil(page.len() as u64) {
            match file.write_all(&page) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                written => written.expect("a file in memory is written"),
            }
        }
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process that is killed at this moment may still have files open.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "umount");
    }
}
