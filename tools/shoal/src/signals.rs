//! SIGINT and SIGTERM as a message.
//!
//! The first one asks for a clean stop. The second ends the process at once, with the exit code that a shell gives a
//! process that died of it.

use crate::failure::Failure;
use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ops::ControlFlow;
use std::thread;

/// Takes the two signals over from now on.
pub(crate) fn stop_requests() -> Result<Receiver<()>, Failure> {
    let refused = |error| Failure::refused(format!("signals cannot be handled: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let (sender, receiver) = bounded(1);
    let watch = move || {
        for (earlier, signal) in signals.forever().enumerate() {
            if earlier > 0 {
                std::process::exit(128 + signal);
            }
            // Nobody listens any more: the process is ending already.
            let _ = sender.send(());
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(refused)?;
    Ok(receiver)
}

/// What whoever works through something long is told when they ask. The request stays for whoever ends the command.
pub(crate) fn unless_requested(stop_requests: &Receiver<()>) -> ControlFlow<()> {
    if stop_requests.is_empty() {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
