//! What the models use where loom has nothing: a queue and an event, each promising as little as is relied upon.
//!
//! The queue gives every element to one taker, in order, and orders nothing else: what was pushed may look absent to
//! another thread until something else puts the push before the look. Crossbeam's queue promises more; a protocol that
//! is proven on this one does not lean on it. The elements are where no model looks, so that the only accesses to
//! explore are those that matter: one that shows an element and one that finds it.
//!
//! The event wakes like a multishot poll: once per signal, and only if it is not silent by then. A signal that nobody
//! waited for yet wakes the next who waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Mutex as Unseen;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, Thread};

/// Runs `body` in every order of steps that preempts threads at most `preemptions` times; `None`: in every order.
pub(crate) fn explore(preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&executions);
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// A bounded queue for any number of threads.
pub(crate) struct ArrayQueue<T> {
    len: AtomicUsize,
    elements: Unseen<VecDeque<T>>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> ArrayQueue<T> {
        ArrayQueue {
            len: AtomicUsize::new(0),
            elements: Unseen::default(),
            capacity,
        }
    }

    pub(crate) fn push(&self, element: T) -> Result<(), T> {
        let mut elements = self.elements.lock().expect("no holder panics");
        if elements.len() == self.capacity {
            return Err(element);
        }
        elements.push_back(element);
        drop(elements);
        self.len.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let one_less = |len: usize| len.checked_sub(1);
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .ok()?;
        let mut elements = self.elements.lock().expect("no holder panics");
        Some(elements.pop_front().expect("what was published is there"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<T> std::fmt::Debug for ArrayQueue<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ArrayQueue")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// The eventfd's counter is not zero.
const READABLE: usize = 1;

/// A signal came that the poll has not seen.
const EDGE: usize = 2;

/// What a core sleeps on.
#[derive(Debug)]
pub(crate) struct Event {
    state: AtomicUsize,
    /// Who waits at this moment: nobody else may be unparked, who may be waiting for something else.
    waiting: Unseen<Option<Thread>>,
}

impl Event {
    pub(crate) fn new() -> io::Result<Event> {
        Ok(Event {
            state: AtomicUsize::new(0),
            waiting: Unseen::default(),
        })
    }

    pub(crate) fn signal(&self) {
        self.state.fetch_or(READABLE | EDGE, Ordering::Relaxed);
        if let Some(thread) = self.waiting.lock().expect("no holder panics").take() {
            thread.unpark();
        }
    }

    pub(crate) fn clear(&self) {
        self.state.fetch_and(!READABLE, Ordering::Relaxed);
    }

    /// Sleeps as a core does in its ring, until the poll completes.
    pub(crate) fn wait(&self) {
        while self.state.fetch_and(!EDGE, Ordering::Relaxed) != READABLE | EDGE {
            *self.waiting.lock().expect("no holder panics") = Some(thread::current());
            thread::park();
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        unreachable!("a model has no ring that would poll")
    }
}
