//! The least a seeder can do: ready-made answers in a memfd, handed to the socket by `sendfile`, by one thread.
//!
//! As one of the clients of `seed` it bounds what the load generator and the kernel's loopback can move together, so that
//! readers know when a client's number is a property of the client. For `fetch` it is the seeder of everybody, under as
//! many addresses as a client shall see peers; each address has a peer id of its own.
//!
//! It is no client: the whole torrent lies in memory as messages before the first connection. It unchokes everybody,
//! answers requests for whole blocks in any order, ignores cancels and takes no notice of anything else. It runs as a
//! process of its own (a hidden subcommand of the bench), because then its CPU time is measured exactly like everybody
//! else's. When the last of its peers has gone it prints a [`Visit`] if there was payload for them.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use serde::{Deserialize, Serialize};

use super::{CONNECTIONS_MAX, Check, Client, ClientName, Job};
use crate::data::{Shape, Torrent};
use crate::load::wire::{
    self, BLOCK_HEADER_LEN, BLOCK_LEN, Block, Deframer, Event, Extensions, HANDSHAKE_LEN, Message,
};
use crate::measure::monotonic;

/// The most that one call hands over, in bytes: 16 blocks with their headers, so that connections take turns.
const SEND_LEN_MAX: u64 = 16 * FRAME_LEN;

/// A block as it lies in the memfd, in bytes.
const FRAME_LEN: u64 = BLOCK_HEADER_LEN as u64 + BLOCK_LEN as u64;

/// What it says it queues, per connection: what libtorrent's `high_performance_seed` preset allows, and more than any
/// downloader asks for.
const REQUESTS_MAX: usize = 2_000;

const _: () = assert!(CONNECTIONS_MAX as usize * REQUESTS_MAX * size_of::<Range<u64>>() <= 64 << 20);

/// Starts this program once more.
#[derive(Debug)]
pub(super) struct Ideal;

/// From the first connection until the last one has gone: what was sent, and when by [`monotonic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visit {
    /// When the first payload went to a socket.
    pub(crate) first_sent: Duration,
    /// When the last payload went to a socket.
    pub(crate) last_sent: Duration,
    /// Bytes of blocks with their headers.
    pub(crate) sent_len: u64,
}

impl Visit {
    /// Both together.
    pub(crate) fn and(self, other: Visit) -> Visit {
        Visit {
            first_sent: self.first_sent.min(other.first_sent),
            last_sent: self.last_sent.max(other.last_sent),
            sent_len: self.sent_len + other.sent_len,
        }
    }

    /// This visit, or one that begins now, with `len` bytes more.
    fn with(so_far: Option<Visit>, now: Duration, len: u64) -> Visit {
        let sent = Visit {
            first_sent: now,
            last_sent: now,
            sent_len: len,
        };
        so_far.map_or(sent, |visit| visit.and(sent))
    }
}

/// The command that serves `torrents` at all of these addresses, and prints its visits as lines of JSON.
pub(crate) fn serve_command(torrents: &[Torrent], addresses: &[SocketAddrV4]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("ideal").arg(serde_json::to_string(torrents)?);
    command.args(addresses.iter().map(SocketAddrV4::to_string));
    Ok(command)
}

impl Client for Ideal {
    fn name(&self) -> ClientName {
        ClientName::Ideal
    }

    fn version(&self) -> Result<String> {
        Ok(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        serve_command(job.torrents, &[job.address])
    }

    fn check(&self, _job: &Job<'_>) -> Result<Check> {
        bail!("the ideal sender trusts what it made")
    }

    fn fetch(&self, _job: &Job<'_>, _peers: &[SocketAddrV4]) -> Result<Command> {
        bail!("the ideal sender is what everybody fetches from")
    }
}

/// The body of the hidden subcommand: serves until it is killed.
pub(crate) fn serve(torrents: &[Torrent], addresses: &[SocketAddrV4]) -> Result<()> {
    let framed = torrents.iter().map(Framed::new).collect::<Result<Vec<_>>>()?;
    let listeners = addresses
        .iter()
        .map(listen)
        .collect::<Result<Vec<TcpListener>>>()?;
    let mut peers: Vec<Peer> = Vec::new();
    let mut visit = None;
    loop {
        let (calling, ready) = wait(&listeners, &peers)?;
        for (peer, ready) in peers.iter_mut().zip(ready) {
            match peer.advance(ready, &framed) {
                Ok(0) => {}
                Ok(sent) => visit = Some(Visit::with(visit, monotonic()?, sent)),
                Err(_) => peer.closed = true,
            }
        }
        peers.retain(|peer| !peer.closed);
        for index in calling {
            while let Ok((stream, _)) = listeners[index].accept() {
                peers.push(Peer::new(stream)?);
            }
        }
        if peers.is_empty()
            && let Some(visit) = visit.take()
        {
            println!("{}", serde_json::to_string(&visit)?);
        }
    }
}

fn listen(address: &SocketAddrV4) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sleeps until something can be done; says at which listeners somebody calls and what each peer is ready for.
fn wait(listeners: &[TcpListener], peers: &[Peer]) -> Result<(Vec<usize>, Vec<PollFlags>)> {
    let calls = listeners
        .iter()
        .map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN));
    let talks = peers
        .iter()
        .map(|peer| PollFd::new(peer.stream.as_fd(), peer.wants()));
    let mut waited: Vec<PollFd<'_>> = calls.chain(talks).collect();
    poll(&mut waited, PollTimeout::NONE)?;
    let flags = |one: &PollFd<'_>| one.revents().unwrap_or(PollFlags::empty());
    let (calls, talks) = waited.split_at(listeners.len());
    let calling = (0..calls.len()).filter(|&index| !flags(&calls[index]).is_empty());
    Ok((calling.collect(), talks.iter().map(flags).collect()))
}

/// A torrent as the answers to all of its requests.
struct Framed {
    info_hash: [u8; 20],
    shape: Shape,
    memfd: File,
}

impl Framed {
    fn new(torrent: &Torrent) -> Result<Framed> {
        let mut memfd = File::from(memfd_create(c"ideal-sender", MFdFlags::MFD_CLOEXEC)?);
        let shape = torrent.shape;
        ensure!(
            shape.piece_length.is_multiple_of(BLOCK_LEN),
            "pieces must be whole blocks"
        );
        for piece in 0..shape.pieces() {
            let mut frames = Vec::new();
            for offset in (0..shape.piece_len(piece)).step_by(BLOCK_LEN as usize) {
                let len = BLOCK_LEN.min(shape.piece_len(piece) - offset);
                frames.extend_from_slice(&wire::block_header(Block { piece, offset, len }));
                let payload = frames.len();
                frames.resize(payload + len as usize, 0);
                let begin = u64::from(piece) * u64::from(shape.piece_length) + u64::from(offset);
                torrent.content.fill(begin, &mut frames[payload..]);
            }
            memfd.write_all(&frames)?;
        }
        Ok(Framed {
            info_hash: torrent.info_hash,
            shape,
            memfd,
        })
    }

    /// Where the answer to a request lies.
    fn answer(&self, block: Block) -> Result<Range<u64>> {
        let is_whole = block.piece < self.shape.pieces()
            && block.offset < self.shape.piece_len(block.piece)
            && block.offset.is_multiple_of(BLOCK_LEN)
            && block.len == BLOCK_LEN.min(self.shape.piece_len(block.piece) - block.offset);
        ensure!(is_whole, "{block:?} is not a block of the torrent");
        let blocks_before = u64::from(block.piece) * u64::from(self.shape.piece_length / BLOCK_LEN)
            + u64::from(block.offset / BLOCK_LEN);
        let begin = blocks_before * FRAME_LEN;
        Ok(begin..begin + BLOCK_HEADER_LEN as u64 + u64::from(block.len))
    }
}

struct Peer {
    stream: TcpStream,
    handshake: Vec<u8>,
    torrent: Option<usize>,
    unchoked: bool,
    deframer: Deframer,
    answers: VecDeque<Range<u64>>,
    closed: bool,
}

impl Peer {
    fn new(stream: TcpStream) -> Result<Peer> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Peer {
            stream,
            handshake: Vec::new(),
            torrent: None,
            unchoked: false,
            deframer: Deframer::new(),
            answers: VecDeque::new(),
            closed: false,
        })
    }

    fn wants(&self) -> PollFlags {
        if self.answers.is_empty() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLIN | PollFlags::POLLOUT
        }
    }

    /// Does what can be done without waiting; returns how many bytes of blocks went to the socket.
    fn advance(&mut self, ready: PollFlags, framed: &[Framed]) -> Result<u64> {
        if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            self.read(framed)?;
        }
        if ready.contains(PollFlags::POLLOUT) {
            return self.send(framed);
        }
        Ok(0)
    }

    fn read(&mut self, framed: &[Framed]) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let taken = match self.stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        };
        ensure!(taken > 0, "closed");
        let mut input = &buffer[..taken];
        if self.torrent.is_none() {
            let (head, rest) = input.split_at(input.len().min(HANDSHAKE_LEN - self.handshake.len()));
            self.handshake.extend_from_slice(head);
            input = rest;
            if self.handshake.len() == HANDSHAKE_LEN {
                self.greet(framed)?;
            }
        }
        while let Some(event) = self.deframer.next(&mut input)? {
            match event {
                Event::Message(Message::Interested) => self.unchoke()?,
                Event::Message(Message::Request(block)) => self.queue(framed, block)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Answers the handshake, and says that all pieces are there.
    fn greet(&mut self, framed: &[Framed]) -> Result<()> {
        let theirs = self.handshake.as_slice().try_into().expect("it is complete");
        let found = framed.iter().enumerate().find_map(|(index, framed)| {
            let offered = wire::read_handshake(theirs, framed.info_hash).ok()?;
            Some((index, framed, offered))
        });
        let (index, torrent, theirs) = found.context("asked for an unknown torrent")?;
        self.torrent = Some(index);
        let offered = Extensions {
            fast: true,
            extended: true,
        };
        let mut hello = wire::handshake(torrent.info_hash, peer_id(self.stream.local_addr()?), offered);
        let pieces = torrent.shape.pieces();
        hello.extend(wire::seeder_opening(offered.and(theirs), pieces, REQUESTS_MAX));
        Ok(self.stream.write_all(&hello)?)
    }

    /// Once: later, it would cut a block in two.
    fn unchoke(&mut self) -> Result<()> {
        if !self.unchoked {
            self.unchoked = true;
            self.stream.write_all(&wire::UNCHOKE)?;
        }
        Ok(())
    }

    /// Queues an answer, as part of the one before where they lie side by side.
    fn queue(&mut self, framed: &[Framed], block: Block) -> Result<()> {
        let torrent = self.torrent.context("a request before the handshake")?;
        let answer = framed[torrent].answer(block)?;
        match self.answers.back_mut() {
            Some(last) if last.end == answer.start => last.end = answer.end,
            _ => self.answers.push_back(answer),
        }
        Ok(())
    }

    fn send(&mut self, framed: &[Framed]) -> Result<u64> {
        let (Some(torrent), Some(answer)) = (self.torrent, self.answers.front_mut()) else {
            return Ok(0);
        };
        let begin = answer.start;
        let mut offset = begin.cast_signed();
        let len = (answer.end - answer.start).min(SEND_LEN_MAX) as usize;
        match sendfile(&self.stream, &framed[torrent].memfd, Some(&mut offset), len) {
            Ok(_) => answer.start = offset.cast_unsigned(),
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let sent = answer.start - begin;
        if answer.is_empty() {
            self.answers.pop_front();
        }
        Ok(sent)
    }
}

/// A peer id that follows from the address: clients take equal ones for the same peer and hang up.
fn peer_id(address: SocketAddr) -> [u8; 20] {
    let number = match address {
        SocketAddr::V4(address) => u32::from(*address.ip()),
        SocketAddr::V6(_) => 0,
    };
    let text = format!("-sB0001-{number:08x}{:04x}", address.port());
    text.as_bytes().try_into().expect("8, 8 and 4 characters")
}
