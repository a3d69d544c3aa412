//! A value that the kernel reads or writes at its address, while its owner may be moved.
//!
//! A `Box` will not do: it promises the compiler that nobody else touches its value, and renews the promise whenever
//! it is moved, alone or inside of something else. The same holds for what stands inside of a structure that is
//! borrowed mutably for another of its parts. What is lent promises nothing; who looks at the value says why he may.

use std::ptr::NonNull;

/// A value at an address of its own.
pub(crate) struct Lent<T>(NonNull<T>);

// SAFETY: it owns its value, as a box does.
unsafe impl<T: Send> Send for Lent<T> {}

impl<T> Lent<T> {
    pub(crate) fn new(value: T) -> Lent<T> {
        let value = Box::leak(Box::new(value));
        Lent(NonNull::from(value))
    }

    /// Where the value stands until this is dropped.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// The value.
    ///
    /// # Safety
    /// Nobody writes to it as long as the reference lives.
    pub(crate) unsafe fn get(&self) -> &T {
        // SAFETY: the value lives as long as this; the caller's promise for the rest.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: the address came from a box in `new`, and is given back once. Who drops it has been told that the
        // kernel is done with the value.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
