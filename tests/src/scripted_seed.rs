//! A scripted seed: it listens, greets whoever comes, and then does what the test tells it to do.
//!
//! A script is a function of one [`Visit`], run in a thread of its own for each connection. [`Visit::serve`] is the
//! honest one; hostile ones are made of the same steps, or write bytes of their own. Everything that is asked for and
//! sent is entered in the [`Ledger`] of the seed, so that a test can say who was asked for what, and wait for it.
//!
//! It is no seed for others: it chokes nobody, keeps no queue, and knows no peer but the one it talks to.
//!
//! Invariants:
//! - A request is in the ledger before it is answered, and a block before its first byte is sent.
//! - Waiting for an entry has a deadline ([`PATIENCE`]); reaching it fails the test.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message, Peer};
use crate::sample::{Block, Sample};

/// A seed that runs until the test process ends.
#[derive(Debug)]
pub struct ScriptedSeed {
    address: SocketAddr,
    ledger: Arc<Ledger>,
}

impl ScriptedSeed {
    /// Serves `sample` on a port of `host` that the kernel chooses; `script` is run for every connection.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(
        host: Ipv4Addr,
        sample: &Arc<Sample>,
        script: impl Fn(&mut Visit) -> io::Result<()> + Send + Sync + 'static,
    ) -> ScriptedSeed {
        let listener = TcpListener::bind((host, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let ledger = Arc::new(Ledger::default());
        let (sample, entries, script) = (Arc::clone(sample), Arc::clone(&ledger), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sample, script) = (Arc::clone(&sample), Arc::clone(&script));
                let arrival = Arrival::of(&entries);
                thread::spawn(move || {
                    let mut visit = Visit {
                        peer: Peer::accepted(stream)?,
                        sample,
                        arrival,
                    };
                    // That the other side hangs up is how most visits end.
                    script(&mut visit)
                });
            }
        });
        ScriptedSeed { address, ledger }
    }

    /// An honest seed that sends as fast as it is asked.
    pub fn honest(host: Ipv4Addr, sample: &Arc<Sample>) -> ScriptedSeed {
        ScriptedSeed::start(host, sample, |visit| {
            visit.welcome()?;
            visit.serve()
        })
    }

    /// An honest seed that sends at most so many bytes in a second, to all peers together.
    pub fn paced(host: Ipv4Addr, sample: &Arc<Sample>, bytes_per_s: u32) -> ScriptedSeed {
        let pace = Pace::new(bytes_per_s);
        ScriptedSeed::start(host, sample, move |visit| {
            visit.welcome()?;
            loop {
                let block = visit.next_request()?;
                pace.wait_for(block.len);
                visit.send_block(block)?;
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked for and sent.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

/// What happened at a seed so far.
#[derive(Debug, Default, Clone)]
pub struct Account {
    /// Connections that are open.
    pub visitors: usize,
    /// Connections that ever were.
    pub visits: usize,
    /// Every request, in the order of their arrival.
    pub requests: Vec<Block>,
    /// Every block that was sent, or begun to be.
    pub sent: Vec<Block>,
    /// What the script calls a misdeed, done so many times.
    pub misdeeds: usize,
}

/// The accounts of a seed, shared by its visits and the test.
#[derive(Debug, Default)]
pub struct Ledger {
    account: Mutex<Account>,
    changed: Condvar,
}

impl Ledger {
    /// Looks at the accounts.
    pub fn look<T>(&self, question: impl FnOnce(&Account) -> T) -> T {
        question(&self.lock())
    }

    /// Waits until `reached` holds.
    ///
    /// # Panics
    /// If it does not within [`PATIENCE`].
    pub fn wait_until(&self, reached: impl Fn(&Account) -> bool) {
        let account = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(account, PATIENCE, |account| !reached(account));
        let (account, timeout) = waited.expect("no visit panics while it writes");
        assert!(
            !timeout.timed_out(),
            "what was waited for did not happen: {account:?}"
        );
    }

    /// Waits until `reached` holds, at most so long. Whether it does.
    ///
    /// # Panics
    /// If a visit did while it wrote.
    pub fn reaches_within(&self, limit: Duration, reached: impl Fn(&Account) -> bool) -> bool {
        let account = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(account, limit, |account| !reached(account));
        !waited.expect("no visit panics while it writes").1.timed_out()
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Block> {
        std::mem::take(&mut self.lock().requests)
    }

    fn enter(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("no visit panics while it writes")
    }
}

/// A connection in the ledger, for as long as it is open.
#[derive(Debug)]
struct Arrival {
    ledger: Arc<Ledger>,
}

impl Arrival {
    fn of(ledger: &Arc<Ledger>) -> Arrival {
        ledger.enter(|account| {
            account.visitors += 1;
            account.visits += 1;
        });
        Arrival {
            ledger: Arc::clone(ledger),
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.ledger.enter(|account| account.visitors -= 1);
    }
}

/// One connection to a scripted seed.
#[derive(Debug)]
pub struct Visit {
    /// The connection, to say anything over it.
    pub peer: Peer,
    /// What is seeded.
    pub sample: Arc<Sample>,
    arrival: Arrival,
}

impl Visit {
    /// Answers the handshake of the other side with these extension bits.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn greet(&mut self, reserved: [u8; 8]) -> io::Result<()> {
        let theirs = self.peer.receive_handshake()?;
        assert_eq!(theirs.info_hash, self.sample.info_hash(), "another torrent");
        self.peer
            .send(&Handshake::new(theirs.info_hash, reserved).encode())
    }

    /// Greets and says to have everything.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn introduce(&mut self) -> io::Result<()> {
        self.greet(FAST_AND_EXTENDED)?;
        self.peer.say(&Message::HaveAll)
    }

    /// Greets, says to have everything, and unchokes.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn welcome(&mut self) -> io::Result<()> {
        self.introduce()?;
        self.peer.say(&Message::Unchoke)
    }

    /// The next message; requests are entered in the ledger.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn receive(&mut self) -> io::Result<Message> {
        let message = self.peer.receive()?;
        if let Message::Request(block) = message {
            self.enter(|account| account.requests.push(block));
        }
        Ok(message)
    }

    /// The next request, whatever is said before it.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn next_request(&mut self) -> io::Result<Block> {
        loop {
            if let Message::Request(block) = self.receive()? {
                return Ok(block);
            }
        }
    }

    /// Sends the block as it is.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn send_block(&mut self, block: Block) -> io::Result<()> {
        let data = self.sample.bytes_of(block).to_vec();
        self.send_as(block, data)
    }

    /// Sends the block with every byte turned round.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn send_corrupt(&mut self, block: Block) -> io::Result<()> {
        let data = self.sample.bytes_of(block).iter().map(|byte| !byte).collect();
        self.misdeed();
        self.send_as(block, data)
    }

    /// Sends `data` in place of the block.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn send_as(&mut self, block: Block, data: Vec<u8>) -> io::Result<()> {
        self.enter(|account| account.sent.push(block));
        let Block { piece, offset, .. } = block;
        self.peer.say(&Message::Piece { piece, offset, data })
    }

    /// Answers every request until the other side hangs up.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let block = self.next_request()?;
            self.send_block(block)?;
        }
    }

    /// Reads and answers nothing until the other side hangs up.
    ///
    /// # Errors
    /// As [`Visit::greet`].
    pub fn say_no_more(&mut self) -> io::Result<()> {
        loop {
            self.receive()?;
        }
    }

    /// Notes in the ledger that the seed did what it is there for.
    pub fn misdeed(&self) {
        self.enter(|account| account.misdeeds += 1);
    }

    fn enter(&self, change: impl FnOnce(&mut Account)) {
        self.arrival.ledger.enter(change);
    }
}

/// A rate that several connections keep together.
#[derive(Debug)]
pub struct Pace {
    bytes_per_s: u32,
    /// When the next bytes may go.
    next: Mutex<Instant>,
}

impl Pace {
    /// So many bytes in a second, none of them saved up.
    pub fn new(bytes_per_s: u32) -> Pace {
        Pace {
            bytes_per_s,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the turn of so many bytes.
    ///
    /// # Panics
    /// If another thread did.
    pub fn wait_for(&self, len: u32) {
        let now = Instant::now();
        let at = {
            let mut next = self.next.lock().expect("nothing in here panics");
            let at = (*next).max(now);
            *next = at + Duration::from_secs_f64(f64::from(len) / f64::from(self.bytes_per_s));
            at
        };
        thread::sleep(at.saturating_duration_since(now));
    }
}
