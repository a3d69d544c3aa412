//! The far ends of connections: what they say, and what arrived there.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, LazyLock, Mutex};

use super::pages::Page;

/// All far ends, by the descriptor of the near one. A descriptor that was closed may be another connection's before the
/// core hears of it, so whoever reads a far end holds it.
#[derive(Default)]
pub(crate) struct Sockets {
    ends: Mutex<BTreeMap<RawFd, Arc<Far>>>,
}

/// What arrived and was not read: bytes that were copied, or references to pages.
enum Arrived {
    Bytes(Vec<u8>),
    Page {
        page: Arc<Page>,
        start: usize,
        len: usize,
    },
}

/// One far end.
#[derive(Default)]
pub(crate) struct Far {
    /// Distinguishes what it says from what others say.
    seed: u64,
    /// Bytes that it will say before it closes.
    says: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    said: u64,
    unread: Vec<Arrived>,
}

/// Bytes after which a speech repeats: a prime, so that a shift by whole pages or buffers does not go unnoticed.
const PERIOD: usize = 251;

/// Longest speech, and more than a period.
const SPEECH_LEN_MAX: usize = 100 * PERIOD;

/// The `len` bytes that the speech of `seed` has at `offset`. Copied from a table, because Miri takes long for each byte
/// that is computed.
pub(super) fn speech(seed: u64, offset: u64, len: usize) -> &'static [u8] {
    static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let period: Vec<u8> = (0..PERIOD).map(|index| (index * 7) as u8).collect();
        period.repeat(SPEECH_LEN_MAX / PERIOD + 1)
    });
    let start = (seed * 31 + offset) % PERIOD as u64;
    &TABLE[start as usize..][..len]
}

/// What `recvmsg` of the ring writes into a buffer: `struct io_uring_recvmsg_out`, a name of at most `name_len` bytes,
/// and what the port says first.
pub(super) fn datagram(port: u16, len: usize, name_len: usize) -> Vec<u8> {
    let name = [
        &(libc::AF_INET as u16).to_ne_bytes()[..],
        &port.to_be_bytes(),
        &[127, 0, 0, 1],
        &[0; 8],
    ]
    .concat();
    let numbers = [name.len() as u32, 0, len as u32, 0];
    let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.extend_from_slice(&name);
    bytes.resize(bytes.len() + name_len - name.len(), 0);
    bytes.extend_from_slice(speech(u64::from(port), 0, len));
    bytes
}

impl Sockets {
    /// A connection whose far end says `says` bytes and closes: the near end, the far one, and an address nobody else has.
    pub(crate) fn connect(&self, seed: u64, says: u64) -> (OwnedFd, Arc<Far>, SocketAddr) {
        let near = OwnedFd::from(File::open("/dev/null").unwrap());
        let far = Arc::new(Far {
            seed,
            says,
            state: Mutex::default(),
        });
        self.ends
            .lock()
            .unwrap()
            .insert(near.as_raw_fd(), Arc::clone(&far));
        (near, far, SocketAddr::from((Ipv4Addr::LOCALHOST, seed as u16)))
    }

    /// A descriptor of the core's own got a far end, which says nothing.
    pub(super) fn connected(&self, near: RawFd) {
        self.ends.lock().unwrap().insert(near, Arc::default());
    }

    /// The far end said all that it will say.
    pub(super) fn has_closed(&self, near: RawFd) -> bool {
        let far = self.far(near);
        far.state.lock().unwrap().said == far.says
    }

    pub(super) fn arrive(&self, near: RawFd, bytes: Vec<u8>) {
        self.far(near).arrive(Arrived::Bytes(bytes));
    }

    pub(super) fn arrive_page(&self, near: RawFd, page: Arc<Page>, start: usize, len: usize) {
        self.far(near).arrive(Arrived::Page { page, start, len });
    }

    /// The next bytes that the far end says, `len` at most; none when it has closed.
    pub(super) fn say(&self, near: RawFd, len: usize) -> Vec<u8> {
        let far = self.far(near);
        let mut state = far.state.lock().unwrap();
        let len = (len as u64).min(far.says - state.said);
        let bytes = speech(far.seed, state.said, len as usize).to_vec();
        state.said += len;
        bytes
    }

    fn far(&self, near: RawFd) -> Arc<Far> {
        let ends = self.ends.lock().unwrap();
        let far = ends.get(&near);
        Arc::clone(far.expect("an entry named a descriptor that is no connection"))
    }
}

impl Far {
    /// Reads all that arrived. Pages are looked at now, not when they were sent.
    pub(crate) fn read(&self) -> Vec<u8> {
        let unread = std::mem::take(&mut self.state.lock().unwrap().unread);
        let parts = unread.into_iter().map(|arrived| match arrived {
            Arrived::Bytes(bytes) => bytes,
            Arrived::Page { page, start, len } => page.read(start, len),
        });
        parts.collect::<Vec<_>>().concat()
    }

    fn arrive(&self, arrived: Arrived) {
        self.state.lock().unwrap().unread.push(arrived);
    }
}
