//! The least a seeder can do: ready-made answers in a memfd, handed to the socket by `sendfile`, by one thread.
//!
//! It bounds what the load generator and the kernel's loopback can move together, so that readers know when a client's
//! number is a property of the client. It is no client: the whole torrent lies in memory as messages before the first
//! connection, and it serves nobody but this program. It runs as a process of its own (a hidden subcommand of the bench),
//! because then its CPU time is measured exactly like everybody else's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;

use super::{Check, Client, ClientName, Job};
use crate::data::{Shape, Torrent};
use crate::load::wire::{self, BLOCK_HEADER_LEN, BLOCK_LEN, Block, Deframer, Event, HANDSHAKE_LEN, Message};

/// The most that one call hands over, in bytes: 16 blocks with their headers, so that connections take turns.
const SEND_LEN_MAX: u64 = 16 * FRAME_LEN;

/// A block as it lies in the memfd, in bytes.
const FRAME_LEN: u64 = BLOCK_HEADER_LEN as u64 + BLOCK_LEN as u64;

/// Starts this program once more.
#[derive(Debug)]
pub(super) struct Ideal;

impl Client for Ideal {
    fn name(&self) -> ClientName {
        ClientName::Ideal
    }

    fn version(&self) -> Result<String> {
        Ok(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn seed(&self, job: &Job<'_>) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "ideal",
            &job.address.to_string(),
            &serde_json::to_string(job.torrents)?,
        ]);
        Ok(command)
    }

    fn check(&self, _job: &Job<'_>) -> Result<Check> {
        bail!("the ideal sender trusts what it made")
    }
}

/// The body of the hidden subcommand: serves until it is killed.
pub(crate) fn serve(address: SocketAddrV4, torrents: &[Torrent]) -> Result<()> {
    let framed = torrents.iter().map(Framed::new).collect::<Result<Vec<_>>>()?;
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    let mut peers: Vec<Peer> = Vec::new();
    loop {
        let (can_accept, ready) = wait(&listener, &peers)?;
        for (peer, ready) in peers.iter_mut().zip(ready) {
            if peer.advance(ready, &framed).is_err() {
                peer.closed = true;
            }
        }
        peers.retain(|peer| !peer.closed);
        while can_accept && let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            peers.push(Peer::new(stream));
        }
    }
}

/// Sleeps until something can be done; says whether somebody connects and what each peer is ready for.
fn wait(listener: &TcpListener, peers: &[Peer]) -> Result<(bool, Vec<PollFlags>)> {
    let mut waited = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    waited.extend(
        peers
            .iter()
            .map(|peer| PollFd::new(peer.stream.as_fd(), peer.wants())),
    );
    poll(&mut waited, PollTimeout::NONE)?;
    let mut ready = waited
        .iter()
        .map(|one| one.revents().unwrap_or(PollFlags::empty()));
    let can_accept = ready.next().is_some_and(|flags| !flags.is_empty());
    Ok((can_accept, ready.collect()))
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
        let in_piece = block.piece < self.shape.pieces()
            && block.offset < self.shape.piece_len(block.piece)
            && block.offset.is_multiple_of(BLOCK_LEN);
        ensure!(in_piece, "{block:?} is not a block of the torrent");
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
    deframer: Deframer,
    answers: VecDeque<Range<u64>>,
    closed: bool,
}

impl Peer {
    fn new(stream: TcpStream) -> Peer {
        Peer {
            stream,
            handshake: Vec::new(),
            torrent: None,
            deframer: Deframer::new(),
            answers: VecDeque::new(),
            closed: false,
        }
    }

    fn wants(&self) -> PollFlags {
        if self.answers.is_empty() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLIN | PollFlags::POLLOUT
        }
    }

    fn advance(&mut self, ready: PollFlags, framed: &[Framed]) -> Result<()> {
        if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            self.read(framed)?;
        }
        if ready.contains(PollFlags::POLLOUT) {
            self.send(framed)?;
        }
        Ok(())
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
                Event::Message(Message::Interested) => self.stream.write_all(&[0, 0, 0, 1, 1])?,
                Event::Message(Message::Request(block)) => self.queue(framed, block)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Answers the handshake, and says that all pieces are there.
    fn greet(&mut self, framed: &[Framed]) -> Result<()> {
        let torrent = framed
            .iter()
            .position(|framed| self.handshake[28..48] == framed.info_hash);
        let torrent = torrent.context("asked for an unknown torrent")?;
        self.torrent = Some(torrent);
        let shape = framed[torrent].shape;
        let offered = wire::Extensions {
            fast: false,
            extended: false,
        };
        let mut hello = wire::handshake(framed[torrent].info_hash, *b"-sB0001-ideal-sender", offered);
        let bitfield_len = shape.pieces().div_ceil(8);
        hello.extend_from_slice(&(bitfield_len + 1).to_be_bytes());
        hello.push(5);
        let spare_bits = bitfield_len * 8 - shape.pieces();
        hello.extend(std::iter::repeat_n(0xff, bitfield_len as usize - 1));
        hello.push(0xff << spare_bits);
        Ok(self.stream.write_all(&hello)?)
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

    fn send(&mut self, framed: &[Framed]) -> Result<()> {
        let (Some(torrent), Some(answer)) = (self.torrent, self.answers.front_mut()) else {
            return Ok(());
        };
        let mut offset = answer.start.cast_signed();
        let len = (answer.end - answer.start).min(SEND_LEN_MAX) as usize;
        match sendfile(&self.stream, &framed[torrent].memfd, Some(&mut offset), len) {
            Ok(_) => answer.start = offset.cast_unsigned(),
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        if answer.is_empty() {
            self.answers.pop_front();
        }
        Ok(())
    }
}
