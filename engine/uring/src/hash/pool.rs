//! Threads that hash for cores which have better things to do.
//!
//! A [`Submitter`] belongs to one core. It puts [`Job`]s into a queue that all cores and all hashing threads share, and
//! takes what was [`Hashed`] out of a queue of its own. Both queues are bounded and lock-free; nobody waits for anybody
//! but a hashing thread that has nothing to do.
//!
//! Each thread works on as many jobs as its kernel has lanes, a slice of each at a time. A job that ends leaves its lane
//! to the next one at once, so short messages do not wait for long ones and lanes do not run empty behind the
//! shortest. Results come back in no particular order.
//!
//! Invariants: a submitter never has more jobs under way than its result queue holds, so delivering cannot fail; the
//! memory of a job is read only between its submission and the moment its result can be taken, or the end of the
//! pool; after the pool was dropped no thread of it is left.

mod sleepers;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{DIGEST_LEN, Feed, Hasher, Stream};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{ArrayQueue, mpsc};
use sleepers::Sleepers;

/// Bytes of each job between two looks at the queue: four lanes of it take a quarter of a millisecond at 4 GB/s, and
/// the look costs nothing against that.
const SLICE_LEN: usize = 256 << 10;

/// How many threads, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hashing threads.
    pub threads: NonZeroUsize,
    /// Processors to pin them to, one after the other, around again when there are fewer. Empty: wherever the
    /// scheduler likes.
    pub processors: Vec<usize>,
    /// Jobs that wait at most, of all submitters together. 112 bytes each.
    pub waiting_max: NonZeroUsize,
}

/// Part of a message, in memory that somebody else owns.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    address: *const u8,
    len: usize,
}

// SAFETY: a segment is read only under the promise made in `Segment::new`, which is not bound to a thread.
unsafe impl Send for Segment {}

impl Segment {
    /// The `len` bytes from `address` on.
    ///
    /// # Safety
    /// From the submission of the job until its result was taken from the [`Submitter`], or until the [`Pool`] was
    /// dropped, the bytes are readable and nobody writes to them.
    pub unsafe fn new(address: *const u8, len: usize) -> Segment {
        Segment { address, len }
    }
}

/// What is to be hashed.
#[derive(Debug)]
pub struct Job {
    /// Comes back with the result.
    pub tag: u64,
    /// What was hashed of the message before.
    pub stream: Stream,
    /// What comes next, in order.
    pub segments: Vec<Segment>,
    /// Whether the message ends with it.
    pub ends: bool,
}

/// What became of a job.
#[derive(Debug)]
pub struct Hashed {
    /// The job's tag.
    pub tag: u64,
    /// The job's result.
    pub outcome: Outcome,
}

/// The result of a job.
#[derive(Debug)]
pub enum Outcome {
    /// The message has ended.
    Digest([u8; DIGEST_LEN]),
    /// The message goes on from here.
    Stream(Stream),
}

/// The hashing threads. Dropping it ends them after the slices at hand; jobs under way get no result.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waiting: ArrayQueue<Task>,
    sleepers: Sleepers,
    ending: AtomicBool,
}

/// A job, and where its result goes.
#[derive(Debug)]
struct Task {
    job: Job,
    results: Arc<Results>,
}

struct Results {
    queue: ArrayQueue<Hashed>,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Pool {
    /// Starts the threads.
    pub fn new(options: &Options) -> io::Result<Pool> {
        let mut threads = Vec::new();
        let mut starts = Vec::new();
        for index in 0..options.threads.get() {
            let (start, started) = mpsc::channel();
            let processor = (!options.processors.is_empty())
                .then(|| options.processors[index % options.processors.len()]);
            let thread = thread::Builder::new().name(format!("hash {index}"));
            threads.push(thread.spawn(move || run(index, processor, &started))?);
            starts.push(start);
        }
        // Threads can be woken from the first moment because everybody knows them before any of them works.
        let shared = Arc::new(Shared {
            waiting: ArrayQueue::new(options.waiting_max.get()),
            sleepers: Sleepers::new(threads.iter().map(|thread| thread.thread().clone())),
            ending: AtomicBool::new(false),
        });
        for start in starts {
            start
                .send(Arc::clone(&shared))
                .expect("a hashing thread waits for its start");
        }
        Ok(Pool { shared, threads })
    }

    /// An entrance for one core, which has at most `under_way_max` jobs under way. `ring` is called from hashing
    /// threads after results were delivered; it is to be cheap when the core is awake.
    pub fn submitter(
        &self,
        under_way_max: NonZeroUsize,
        ring: impl Fn() + Send + Sync + 'static,
    ) -> Submitter {
        Submitter {
            shared: Arc::clone(&self.shared),
            results: Arc::new(Results {
                queue: ArrayQueue::new(under_way_max.get()),
                ring: Box::new(ring),
            }),
            under_way: 0,
            lanes: Hasher::new().lanes(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.shared.sleepers.wake_all();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a hashing thread panicked");
        }
    }
}

/// One core's entrance to a pool.
#[derive(Debug)]
pub struct Submitter {
    shared: Arc<Shared>,
    results: Arc<Results>,
    under_way: usize,
    lanes: usize,
}

impl Submitter {
    /// Hands over the first `count` jobs, fewer when too many are under way: the rest may go after a result was taken.
    /// Wakes a thread for as many as it hashes side by side. A thread that was woken by the first of several would begin
    /// that one alone, at half the speed.
    pub fn submit(&mut self, jobs: &mut VecDeque<Job>, count: usize) {
        let mut submitted: usize = 0;
        while submitted < count
            && let Some(job) = jobs.pop_front()
        {
            if let Err(job) = self.push(job) {
                jobs.push_front(job);
                break;
            }
            submitted += 1;
        }
        for _ in 0..submitted.div_ceil(self.lanes) {
            self.shared.sleepers.wake_one();
        }
    }

    #[expect(
        clippy::result_large_err,
        reason = "a refused job goes back whole, and boxing each would allocate"
    )]
    fn push(&mut self, job: Job) -> Result<(), Job> {
        if self.under_way == self.results.queue.capacity() {
            return Err(job);
        }
        let results = Arc::clone(&self.results);
        let task = Task { job, results };
        self.shared.waiting.push(task).map_err(|task| task.job)?;
        self.under_way += 1;
        Ok(())
    }

    /// Jobs that a thread hashes side by side.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The next result, if there is one.
    pub fn take(&mut self) -> Option<Hashed> {
        let hashed = self.results.queue.pop()?;
        self.under_way -= 1;
        Some(hashed)
    }

    /// Whether a result waits: to be asked once more before going to sleep.
    pub fn has_results(&self) -> bool {
        !self.results.queue.is_empty()
    }

    /// Jobs submitted whose results were not taken yet.
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

/// A hashing thread, from its start to the end of the pool.
fn run(index: usize, processor: Option<usize>, started: &mpsc::Receiver<Arc<Shared>>) {
    pin(processor);
    // Nothing comes when another thread could not be started.
    let Ok(shared) = started.recv() else { return };
    let hasher = Hasher::new();
    let mut lanes: Vec<Lane> = Vec::new();
    while !shared.ending.load(Ordering::Relaxed) {
        let free = hasher.lanes() - lanes.len();
        lanes.extend(
            std::iter::from_fn(|| shared.waiting.pop())
                .take(free)
                .map(Lane::new),
        );
        if lanes.is_empty() {
            shared.sleepers.sleep_unless(index, || {
                !shared.waiting.is_empty() || shared.ending.load(Ordering::Relaxed)
            });
            continue;
        }
        advance(&hasher, &mut lanes);
        deliver(
            &hasher,
            lanes.extract_if(.., |lane| lane.segments.is_empty()).collect(),
        );
    }
}

/// Pins this thread. A processor that does not exist or is not ours to use: the scheduler's choice is as good.
fn pin(processor: Option<usize>) {
    if processor.is_none() {
        return;
    }
    let ours = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = ours.into_iter().find(|core| Some(core.id) == processor) {
        core_affinity::set_for_current(core);
    }
}

/// A task that is being worked on.
struct Lane {
    tag: u64,
    stream: Stream,
    ends: bool,
    /// What is left, the next part last.
    segments: Vec<Segment>,
    results: Arc<Results>,
}

impl Lane {
    fn new(task: Task) -> Lane {
        let Job {
            tag,
            stream,
            mut segments,
            ends,
        } = task.job;
        segments.reverse();
        Lane {
            tag,
            stream,
            ends,
            segments,
            results: task.results,
        }
    }

    /// Takes the next bytes off the segments, [`SLICE_LEN`] at most.
    fn next_slice(&mut self) -> Vec<Segment> {
        let mut slice = Vec::new();
        let mut left = SLICE_LEN;
        while left > 0
            && let Some(segment) = self.segments.pop()
        {
            let taken = segment.len.min(left);
            slice.push(Segment {
                address: segment.address,
                len: taken,
            });
            left -= taken;
            if taken < segment.len {
                // SAFETY: inside the segment, whose bytes are one allocation as `Segment::new` demands.
                let address = unsafe { segment.address.add(taken) };
                self.segments.push(Segment {
                    address,
                    len: segment.len - taken,
                });
            }
        }
        slice
    }
}

/// Hashes the next slice of each lane.
fn advance(hasher: &Hasher, lanes: &mut [Lane]) {
    let slices: Vec<Vec<Segment>> = lanes.iter_mut().map(Lane::next_slice).collect();
    let bytes = |segment: &Segment| {
        // SAFETY: whoever made the segment promised that it is readable and unwritten until the result was taken, or
        // the pool dropped. The result is delivered after this call, and the pool joins this thread before it goes.
        unsafe { std::slice::from_raw_parts(segment.address, segment.len) }
    };
    let slices: Vec<Vec<&[u8]>> = slices
        .iter()
        .map(|slice| slice.iter().map(bytes).collect())
        .collect();
    let feeds = lanes.iter_mut().zip(&slices);
    hasher.advance(feeds.map(|(lane, segments)| Feed {
        stream: &mut lane.stream,
        segments,
    }));
}

/// Gives the results of lanes without further bytes to their submitters.
fn deliver(hasher: &Hasher, done: Vec<Lane>) {
    let mut ending: Vec<Stream> = done
        .iter()
        .filter(|lane| lane.ends)
        .map(|lane| lane.stream.clone())
        .collect();
    let mut digests = hasher.finish(&mut ending).into_iter();
    let mut receivers = Vec::with_capacity(done.len());
    for Lane {
        tag,
        stream,
        ends,
        results,
        ..
    } in done
    {
        let outcome = if ends {
            Outcome::Digest(digests.next().expect("a digest for each message that ends"))
        } else {
            Outcome::Stream(stream)
        };
        let delivered = results.queue.push(Hashed { tag, outcome });
        assert!(
            delivered.is_ok(),
            "a submitter had more jobs under way than its queue holds"
        );
        receivers.push(results);
    }
    for results in receivers {
        (results.ring)();
    }
}

impl std::fmt::Debug for Results {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Results")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(all(loom, test))]
mod models;
#[cfg(test)]
mod tests;
