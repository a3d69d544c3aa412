//! One scripted downloader: connects, says it is interested, and keeps its requests outstanding.
//!
//! It reacts as BEP 3 and BEP 6 ask: requests that a choke or a reject took away are sent again later. Answers may come in
//! any order when payload is copied; with [`Drain::Trunc`] they must come in the order of the requests, because what is
//! thrown away cannot be looked at.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream as StdTcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::TcpStream;

use super::plan::Plan;
use super::wire::{self, BLOCK_HEADER_LEN, Block, Deframer, Event, HANDSHAKE_LEN, Message};
use super::{Drain, Manner, latency_histogram};
use crate::data::Torrent;

/// Blocks thrown away at once between two headers that are looked at. 16 blocks are 256 KiB, which is what fast seeders
/// send in one piece.
const DISCARD_BLOCKS: usize = 16;

/// While throwing away, this many bytes are received in the ordinary way when nothing is there yet: that wait is how we
/// learn that more has come.
const DISCARD_WAIT_LEN: usize = 4096;

/// From request to complete block, in µs, over all connections of a worker.
#[derive(Debug)]
pub(super) struct Latencies(RefCell<Histogram<u64>>);

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies(RefCell::new(latency_histogram()))
    }

    /// All that were recorded so far.
    pub(super) fn so_far(&self) -> Histogram<u64> {
        self.0.borrow().clone()
    }

    fn record(&self, latency: Duration) {
        self.0.borrow_mut().saturating_record(latency.as_micros() as u64);
    }
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
struct Asked {
    block: Block,
    at: Instant,
}

/// A connection on which requests are answered.
pub(super) struct Connection {
    stream: Rc<TcpStream>,
    torrent: Torrent,
    manner: Manner,
    deframer: Deframer,
    buffer: Vec<u8>,
    requests: Vec<u8>,
    unchoked: bool,
    fast: bool,
    pieces_have: u32,
    outstanding: VecDeque<Asked>,
    arriving: Option<Asked>,
    again: VecDeque<Block>,
    received: Rc<Cell<u64>>,
}

impl Connection {
    /// Connects as the `index`-th downloader and waits until it may ask for anything.
    pub(super) async fn open(
        address: SocketAddrV4,
        index: u32,
        torrent: Torrent,
        manner: Manner,
    ) -> Result<Connection> {
        let stream = dial(address, source_address(index)).context("cannot connect")?;
        let stream = Rc::new(TcpStream::from_std(stream));
        let agreed = shake_hands(&stream, torrent.info_hash, peer_id(index), manner.offered).await?;
        write(&stream, wire::opening(agreed)).await?;
        let mut connection = Connection {
            stream,
            torrent,
            manner,
            deframer: Deframer::new(),
            buffer: vec![0; manner.receive_len],
            requests: Vec::new(),
            unchoked: false,
            fast: agreed.fast,
            pieces_have: 0,
            outstanding: VecDeque::new(),
            arriving: None,
            again: VecDeque::new(),
            received: Rc::default(),
        };
        let nothing_yet = Latencies::new();
        while !connection.unchoked || connection.pieces_have < connection.torrent.shape.pieces() {
            ensure!(
                connection.receive(&nothing_yet).await?,
                "closed by the seeder before it unchoked us"
            );
        }
        Ok(connection)
    }

    /// The socket, for whoever must be able to shut it while this connection waits for it.
    pub(super) fn stream(&self) -> Rc<TcpStream> {
        Rc::clone(&self.stream)
    }

    /// Payload bytes of complete blocks since the connection was opened, still counting.
    pub(super) fn received(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.received)
    }

    /// Asks for everything in the plan and returns when all of it has come.
    pub(super) async fn fetch(&mut self, mut plan: Plan, latencies: &Latencies) -> Result<()> {
        let depth = self.manner.depth.min(plan.distinct_blocks());
        let batch = self.manner.batch.min(depth);
        loop {
            if self.unchoked && depth - self.outstanding.len().min(depth) >= batch {
                self.ask(&mut plan, depth).await?;
            }
            if self.unchoked && self.outstanding.is_empty() && self.arriving.is_none() {
                return Ok(());
            }
            let open = match (self.manner.drain, self.outstanding.is_empty()) {
                (Drain::Trunc, false) => self.discard(latencies).await?,
                _ => self.receive(latencies).await?,
            };
            ensure!(
                open,
                "closed by the seeder with {} requests unanswered",
                self.outstanding.len()
            );
        }
    }

    /// Fills the pipeline up to `depth` requests with one write.
    async fn ask(&mut self, plan: &mut Plan, depth: usize) -> Result<()> {
        let mut requests = std::mem::take(&mut self.requests);
        requests.clear();
        let at = Instant::now();
        while self.outstanding.len() < depth {
            let Some(block) = self.again.pop_front().or_else(|| plan.next()) else {
                break;
            };
            wire::request(&mut requests, block);
            self.outstanding.push_back(Asked { block, at });
        }
        self.requests = if requests.is_empty() {
            requests
        } else {
            write(&self.stream, requests).await?
        };
        Ok(())
    }

    /// Takes what the socket has. `false` when the seeder closed it.
    async fn receive(&mut self, latencies: &Latencies) -> Result<bool> {
        let (taken, buffer) = self.stream.read(std::mem::take(&mut self.buffer)).await;
        self.buffer = buffer;
        let taken = taken?;
        self.interpret(taken, latencies)?;
        Ok(taken > 0)
    }

    /// Takes one header, throws away the blocks that must follow it, and counts them. `false` when the seeder closed.
    async fn discard(&mut self, latencies: &Latencies) -> Result<bool> {
        let head_left = self.deframer.head_left()?;
        if head_left > 0 {
            let taken = self.read_some(head_left).await?;
            self.interpret(taken, latencies)?;
            if taken == 0 || self.deframer.payload_left() == 0 {
                return Ok(taken > 0);
            }
        }
        let first = self
            .arriving
            .take()
            .expect("a block whose header was read is arriving");
        let blocks = 1 + self.outstanding.len().min(DISCARD_BLOCKS - 1);
        let stretch: Vec<Asked> = std::iter::once(first)
            .chain(self.outstanding.drain(..blocks - 1))
            .collect();
        let behind: usize = stretch[1..]
            .iter()
            .map(|asked| BLOCK_HEADER_LEN + asked.block.len as usize)
            .sum();
        let mut left = self.deframer.payload_left() as usize + behind;
        while left > 0 {
            let taken = match throw_away(&self.stream, &mut self.buffer, left) {
                Err(Errno::EAGAIN) => self.read_some(left.min(DISCARD_WAIT_LEN)).await?,
                other => other?,
            };
            if taken == 0 {
                return Ok(false);
            }
            left -= taken;
        }
        self.deframer.resume_between_messages();
        let now = Instant::now();
        for asked in stretch {
            self.complete(asked, now, latencies);
        }
        Ok(true)
    }

    /// Receives at most `len` bytes in the ordinary way.
    async fn read_some(&mut self, len: usize) -> Result<usize> {
        let slice = std::mem::take(&mut self.buffer).slice(..len);
        let (taken, slice) = self.stream.read(slice).await;
        self.buffer = slice.into_inner();
        Ok(taken?)
    }

    /// Acts on the first `len` bytes of the buffer.
    fn interpret(&mut self, len: usize, latencies: &Latencies) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = &buffer[..len];
        let now = Instant::now();
        while let Some(event) = self.deframer.next(&mut input)? {
            match event {
                Event::Message(message) => self.heed(message)?,
                Event::BlockBegan(block) => self.expect(block)?,
                Event::Payload {
                    block,
                    at,
                    bytes,
                    last,
                } => {
                    self.verify(block, at, bytes)?;
                    if last {
                        let asked = self.arriving.take().expect("payload follows its header");
                        self.complete(asked, now, latencies);
                    }
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    fn heed(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Unchoke => self.unchoked = true,
            Message::Choke => self.choked(),
            Message::HaveAll => self.pieces_have = self.torrent.shape.pieces(),
            Message::Bitfield(bits) => self.pieces_have = bits.iter().map(|byte| byte.count_ones()).sum(),
            Message::Have(_) => self.pieces_have += 1,
            Message::Reject(block) => {
                let place = self.outstanding.iter().position(|asked| asked.block == block);
                let place = place.with_context(|| format!("rejected {block:?}, which was not asked for"))?;
                self.outstanding.remove(place);
                self.again.push_back(block);
            }
            Message::ExtensionHandshake(dictionary) => {
                if let Some(requests_max) = wire::requests_max(&dictionary) {
                    self.manner.depth = self.manner.depth.min(requests_max.max(1));
                }
            }
            Message::KeepAlive | Message::Interested | Message::Request(_) | Message::Other(_) => {}
        }
        Ok(())
    }

    fn choked(&mut self) {
        self.unchoked = false;
        // BEP 6: with the fast extension each request gets its own reject; BEP 3: without it a choke drops them all.
        if !self.fast {
            self.again
                .extend(self.outstanding.drain(..).map(|asked| asked.block));
        }
    }

    fn expect(&mut self, block: Block) -> Result<()> {
        let place = self.outstanding.iter().position(|asked| asked.block == block);
        match (place, self.manner.drain) {
            (None, _) => bail!("sent {block:?}, which was not asked for"),
            (Some(1..), Drain::Trunc) => {
                bail!("answers out of order: `--drain trunc` cannot measure this seeder, `--drain copy` can")
            }
            (Some(place), _) => self.arriving = self.outstanding.remove(place),
        }
        Ok(())
    }

    fn verify(&self, block: Block, at: u32, bytes: &[u8]) -> Result<()> {
        if !self.manner.verify {
            return Ok(());
        }
        let begin = u64::from(block.piece) * u64::from(self.torrent.shape.piece_length);
        let offset = begin + u64::from(block.offset) + u64::from(at);
        ensure!(
            self.torrent.content.matches(offset, bytes),
            "sent wrong bytes in {block:?}"
        );
        Ok(())
    }

    fn complete(&self, asked: Asked, now: Instant, latencies: &Latencies) {
        self.received
            .set(self.received.get() + u64::from(asked.block.len));
        latencies.record(now - asked.at);
    }
}

/// Exchanges handshakes and says what both sides offer.
async fn shake_hands(
    stream: &TcpStream,
    info_hash: [u8; 20],
    peer_id: [u8; 20],
    offered: wire::Extensions,
) -> Result<wire::Extensions> {
    write(stream, wire::handshake(info_hash, peer_id, offered)).await?;
    let mut theirs = Vec::with_capacity(HANDSHAKE_LEN);
    while theirs.len() < HANDSHAKE_LEN {
        let wanted = HANDSHAKE_LEN - theirs.len();
        let (taken, part) = stream.read(vec![0; wanted]).await;
        let taken = taken?;
        ensure!(taken > 0, "closed by the seeder during the handshake");
        theirs.extend_from_slice(&part[..taken]);
    }
    let theirs: [u8; HANDSHAKE_LEN] = theirs.try_into().expect("the loop ends at its length");
    Ok(offered.and(wire::read_handshake(&theirs, info_hash)?))
}

/// Writes all of it and gives the buffer back.
async fn write(stream: &TcpStream, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let (written, bytes) = stream.write_all(bytes).await;
    written.context("cannot write to the seeder")?;
    Ok(bytes)
}

/// Lets the kernel throw away up to `len` bytes that have come. The buffer bounds the length and is not written to.
fn throw_away(stream: &TcpStream, buffer: &mut [u8], len: usize) -> Result<usize, Errno> {
    let len = len.min(buffer.len());
    socket::recv(
        stream.as_raw_fd(),
        &mut buffer[..len],
        MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT,
    )
}

/// A blocking socket, as tokio-uring wants it: the ring waits, not the socket.
fn dial(address: SocketAddrV4, source: Ipv4Addr) -> io::Result<StdTcpStream> {
    let socket = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    socket::bind(
        socket.as_raw_fd(),
        &SockaddrIn::from(SocketAddrV4::new(source, 0)),
    )?;
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    let stream = StdTcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Every downloader comes from an address of its own, as in a real swarm: clients limit connections per address.
fn source_address(index: u32) -> Ipv4Addr {
    const PER_SUBNET: u32 = 250;
    Ipv4Addr::new(127, 1, (index / PER_SUBNET) as u8, (1 + index % PER_SUBNET) as u8)
}

fn peer_id(index: u32) -> [u8; 20] {
    let mut id = *b"-sB0001-000000000000";
    id[12..].copy_from_slice(format!("{index:08}").as_bytes());
    id
}
