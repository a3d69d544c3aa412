//! A submission entry as the kernel reads it: `struct io_uring_sqe` of `linux/io_uring.h`.

use std::ptr;

use io_uring::squeue;

/// The fields that are used here, under the names of their use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) opcode: u8,
    pub(super) flags: u8,
    /// For receives: [`RECV_MULTISHOT`].
    pub(super) priority: u16,
    pub(super) descriptor: i32,
    /// For connects and datagrams: the length, or the address, of an address.
    pub(super) offset: u64,
    pub(super) address: u64,
    /// For polls: [`POLL_MULTISHOT`].
    pub(super) len: u32,
    /// `msg_flags`, `cancel_flags`, `open_flags` and the like.
    pub(super) operation_flags: u32,
    pub(super) user_data: u64,
    pub(super) buffer_group: u16,
    personality: u16,
    pub(super) address_len: u16,
    padding: u16,
    unused: [u64; 2],
}

const _: () = assert!(
    size_of::<Entry>() == size_of::<squeue::Entry>(),
    "the kernel's layout"
);

/// `IORING_RECV_MULTISHOT`.
pub(super) const RECV_MULTISHOT: u16 = 1 << 1;

/// `IORING_POLL_ADD_MULTI`.
pub(super) const POLL_MULTISHOT: u32 = 1;

/// `IORING_ASYNC_CANCEL_ANY`.
pub(super) const CANCEL_ANY: u32 = 1 << 2;

/// `IORING_CQE_F_BUFFER`, and where the buffer's number stands.
pub(super) const WITH_BUFFER: u32 = 1;
pub(super) const BUFFER_SHIFT: u32 = 16;

/// `IORING_CQE_F_MORE`.
pub(super) const MORE: u32 = 1 << 1;

impl Entry {
    pub(super) fn of(entry: &squeue::Entry) -> Entry {
        // SAFETY: both are 64 bytes of integers in the kernel's layout.
        unsafe { ptr::from_ref(entry).cast::<Entry>().read() }
    }

    pub(super) fn is_multishot_receive(&self) -> bool {
        self.priority & RECV_MULTISHOT != 0
    }
}

/// Memory that the core named by its address.
pub(super) fn memory<T>(address: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(address as usize)
}
