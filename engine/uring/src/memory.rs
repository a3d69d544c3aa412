//! Memory that the kernel reads and writes: mappings, and the arena of extents.
//!
//! A mapping is made once, touched once, and lives as long as the ring that knows its addresses.

use std::io;
use std::ptr::{self, NonNull};

use shoal_world::{EXTENT_LEN, Extent, PAGE_LEN};

/// Length of a huge page on x86-64 and most others.
const HUGE_PAGE_LEN: usize = 2 * 1024 * 1024;

/// Parts that one system call takes (UIO_MAXIOV).
pub(crate) const VECTORS_MAX: usize = 1024;

/// Largest buffer that a ring registers (the kernel's limit).
const REGISTERED_LEN_MAX: usize = 1 << 30;

/// Anonymous, zeroed, touched memory.
pub(crate) struct Mapping {
    /// Start of what was mapped.
    base: NonNull<u8>,
    /// Length of what was mapped.
    mapped_len: usize,
    /// First byte used: aligned to huge pages when `len` reaches one.
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes, in huge pages where the system has them, and touches every page: the first touch of
    /// memory is dear, more so in a virtual machine, and belongs to the start.
    pub(crate) fn new(len: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let huge = len >= HUGE_PAGE_LEN;
        let mapped_len = if huge { len + HUGE_PAGE_LEN } else { len };
        // SAFETY: an anonymous mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { libc::mmap(ptr::null_mut(), mapped_len, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("mmap returns no null without MAP_FIXED");
        let padding = if huge {
            base.as_ptr().align_offset(HUGE_PAGE_LEN)
        } else {
            0
        };
        // SAFETY: `padding` is below one huge page, which was mapped beyond `len`.
        let start = unsafe { base.add(padding) };
        // Miri gives no advice on memory.
        if huge && !cfg!(miri) {
            // SAFETY: the range lies inside the mapping. Advice may be refused; ordinary pages do as well.
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        }
        for offset in (0..len).step_by(PAGE_LEN as usize) {
            // SAFETY: `offset` is below `len`, which is mapped behind `start`; nobody else knows the memory yet.
            unsafe { start.add(offset).write_volatile(0) };
        }
        Ok(Mapping {
            base,
            mapped_len,
            start,
            len,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Address of byte `offset`.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len, "an address outside a mapping");
        // SAFETY: checked above.
        unsafe { self.start.add(offset).as_ptr() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; whoever owns the mapping drained the ring that knew its addresses.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped_len) };
    }
}

/// The arena: extents that reads fill and sends gather from.
pub(crate) struct Arena {
    mapping: Mapping,
    /// Whether a ring knows the arena as fixed buffers; without it, reads map their pages each time.
    pub(crate) registered: bool,
}

impl Arena {
    pub(crate) fn new(extents: u32) -> io::Result<Arena> {
        let mapping = Mapping::new(extents as usize * EXTENT_LEN as usize)?;
        Ok(Arena {
            mapping,
            registered: false,
        })
    }

    pub(crate) fn extents(&self) -> u32 {
        (self.mapping.len() / EXTENT_LEN as usize) as u32
    }

    /// Address of byte `start` of an extent, of which `len` bytes will be used.
    pub(crate) fn address(&self, extent: Extent, start: u32, len: u32) -> *mut u8 {
        assert!(
            u64::from(start) + u64::from(len) <= u64::from(EXTENT_LEN),
            "a range outside its extent"
        );
        self.mapping
            .at(extent.0 as usize * EXTENT_LEN as usize + start as usize)
    }

    /// Address of byte `start` of an extent, of which `len` bytes will be used, into the extents behind it.
    pub(crate) fn address_across(&self, extent: Extent, start: u32, len: u32) -> *mut u8 {
        let offset = extent.0 as usize * EXTENT_LEN as usize + start as usize;
        assert!(
            offset + len as usize <= self.mapping.len(),
            "a range outside the arena"
        );
        self.mapping.at(offset)
    }

    /// The buffers to register: consecutive parts of the arena of at most 1 GiB.
    pub(crate) fn buffers(&self) -> Vec<libc::iovec> {
        (0..self.mapping.len())
            .step_by(REGISTERED_LEN_MAX)
            .map(|offset| libc::iovec {
                iov_base: self.mapping.at(offset).cast(),
                iov_len: REGISTERED_LEN_MAX.min(self.mapping.len() - offset),
            })
            .collect()
    }

    /// Which of [`Arena::buffers`] holds an extent.
    pub(crate) fn buffer_index(extent: Extent) -> u16 {
        (extent.0 as usize / (REGISTERED_LEN_MAX / EXTENT_LEN as usize)) as u16
    }
}
