//! Bytes on their way: ranges of memory that somebody else may still own.
//!
//! A gathered send copies its bytes into the socket, a framed one leaves references to pages. Both are ranges of shared
//! memory here, and they are looked at when they *arrive*: whoever writes to a framed extent that is still on its way
//! changes what its receiver gets, as the kernel's page references would.

use std::cell::RefCell;
use std::rc::Rc;

/// Memory that what is on its way refers to.
#[derive(Clone, Debug, Default)]
pub struct Pages(Rc<RefCell<Vec<u8>>>);

impl Pages {
    /// Pages with these bytes.
    pub fn new(bytes: Vec<u8>) -> Pages {
        Pages(Rc::new(RefCell::new(bytes)))
    }

    /// Writes over what stands there, also for those who refer to it.
    pub fn write(&self, bytes: Vec<u8>) {
        *self.0.borrow_mut() = bytes;
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of pages.
#[derive(Clone, Debug)]
pub struct Payload {
    pages: Pages,
    start: usize,
    len: usize,
}

impl Payload {
    /// Bytes that were copied.
    pub fn copied(bytes: Vec<u8>) -> Payload {
        let len = bytes.len();
        Payload {
            pages: Pages::new(bytes),
            start: 0,
            len,
        }
    }

    /// A reference to part of some pages.
    pub fn referring(pages: &Pages, start: usize, len: usize) -> Payload {
        assert!(start + len <= pages.len(), "a reference outside its pages");
        Payload {
            pages: pages.clone(),
            start,
            len,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the first `len` bytes off.
    #[must_use]
    pub fn split_to(&mut self, len: usize) -> Payload {
        assert!(len <= self.len, "a payload was cut behind its end");
        let first = Payload {
            pages: self.pages.clone(),
            start: self.start,
            len,
        };
        self.start += len;
        self.len -= len;
        first
    }

    /// What the pages hold now.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pages.0.borrow()[self.start..self.start + self.len]);
    }
}
