//! One core's thread: the loop that joins a shard to its world.
//!
//! Completions in, operations out, one entry into the kernel a turn; between them commands that arrived and events
//! that happened. The thread is pinned, makes its own ring and memory, and ends when its shard has closed everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender};
use shoal_shard::{Command, Counters, Event, Report, Settings, Shard};
use shoal_uring::Refused;
use shoal_uring::kernel::{self, Kernel};

/// What a core's thread tells the session.
#[derive(Debug)]
pub(crate) enum Message {
    /// The ring stands and the core serves, or why not.
    Started(Result<(), Refused>),
    /// Something happened on the core.
    Happened(Event),
    /// The thread panicked: a rule of our own is broken, and its torrents are not served any more.
    Broken(usize),
}

/// What a core's thread is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command for its shard.
    Command(Command),
    /// What it serves to whom.
    Report(Sender<Report>),
}

/// What a core's thread is made with.
pub(crate) struct Parts {
    /// The CPU it runs on.
    pub(crate) cpu: usize,
    pub(crate) settings: Settings,
    pub(crate) kernel: kernel::Options,
    pub(crate) requests: Receiver<Request>,
    pub(crate) messages: Sender<Message>,
    pub(crate) counters: Arc<Published>,
}

/// The counters of a core where other threads can read them: written by the core after every turn, each by itself.
#[derive(Debug, Default)]
pub(crate) struct Published {
    values: [AtomicU64; Counters::LEN],
}

impl Published {
    fn publish(&self, counters: &Counters) {
        for (place, value) in self.values.iter().zip(counters.values()) {
            place.store(value, Ordering::Relaxed);
        }
    }

    /// What the core counted up to its last turn.
    pub(crate) fn read(&self) -> Counters {
        Counters::from_values(std::array::from_fn(|index| {
            self.values[index].load(Ordering::Relaxed)
        }))
    }
}

/// Starts the thread of a core.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<JoinHandle<()>> {
    let name = format!("shoal-core-{}", parts.kernel.core);
    thread::Builder::new().name(name).spawn(move || {
        let _alarm = Alarm(parts.messages.clone(), parts.kernel.core);
        // A CPU that was taken away meanwhile (a cpuset that shrank) leaves the thread where it is.
        core_affinity::set_for_current(core_affinity::CoreId { id: parts.cpu });
        let kernel = match Kernel::new(parts.kernel) {
            Ok(kernel) => kernel,
            Err(refused) => {
                // Nobody listens any more when another core was refused first.
                let _ = parts.messages.send(Message::Started(Err(refused)));
                return;
            }
        };
        let _ = parts.messages.send(Message::Started(Ok(())));
        run(
            kernel,
            parts.settings,
            &parts.requests,
            &parts.messages,
            &parts.counters,
        );
    })
}

fn run(
    mut kernel: Kernel,
    settings: Settings,
    requests: &Receiver<Request>,
    messages: &Sender<Message>,
    counters: &Published,
) {
    let mut shard = Shard::new(settings, kernel.pool());
    let mut ops = Vec::new();
    let mut done = Vec::new();
    let mut stopped = false;
    while !stopped {
        kernel.turn(&mut ops, shard.deadline(), || !requests.is_empty(), &mut done);
        let now = kernel.now();
        for request in requests.try_iter() {
            match request {
                Request::Command(command) => shard.command(now, command, &mut ops),
                // Who asked may have stopped waiting.
                Request::Report(to) => drop(to.send(shard.report())),
            }
        }
        shard.on(now, &mut done, kernel.pool(), &mut ops);
        for event in shard.events() {
            stopped |= event == Event::Stopped;
            // The session is gone when nobody listens; the core ends by its command all the same.
            let _ = messages.send(Message::Happened(event));
        }
        counters.publish(&shard.counters());
    }
}

/// Tells the session if the thread unwinds.
struct Alarm(Sender<Message>, usize);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Message::Broken(self.1));
        }
    }
}
