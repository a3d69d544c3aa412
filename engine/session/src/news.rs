//! Events for an owner who may not listen: a queue that forgets the oldest when it is full.
//!
//! Whoever tells must never wait for an owner, and must not remember for ever what nobody asks for. What counts in the
//! end stands elsewhere as well (a torrent's progress, a report), so a forgotten event is a late one.

use crossbeam::channel::{self, Receiver, Sender, TrySendError};

/// Events that wait to be heard: hours of a disk that is full and has room again every few seconds.
pub(crate) const NEWS_LEN_MAX: usize = 1_024;

/// The side that tells. Those who hear are told of the end when all of these are gone.
#[derive(Debug)]
pub(crate) struct News<E> {
    tells: Sender<E>,
    hears: Receiver<E>,
}

impl<E> News<E> {
    pub(crate) fn new() -> News<E> {
        let (tells, hears) = channel::bounded(NEWS_LEN_MAX);
        News { tells, hears }
    }

    /// The side that hears; each event goes to one receiver.
    pub(crate) fn receiver(&self) -> &Receiver<E> {
        &self.hears
    }

    /// Tells, and forgets the oldest if there is no room.
    pub(crate) fn tell(&self, event: E) {
        let mut event = event;
        while let Err(TrySendError::Full(refused)) = self.tells.try_send(event) {
            event = refused;
            let _ = self.hears.try_recv();
        }
    }
}

impl<E> Clone for News<E> {
    fn clone(&self) -> News<E> {
        News {
            tells: self.tells.clone(),
            hears: self.hears.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
