//! A fetching shard among peers that a test speaks for: what each was asked for, and the right and the wrong answers.
//!
//! It sits on the [`Stage`], which performs what the shard asks for; here are the torrent, its true bytes and what its
//! peers know. Nothing is sent that a test does not send.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::layout::{BLOCK_LEN, Layout};
use shoal_proto::message::{BlockRequest, Decoder, Message};
use shoal_proto::peer_id::PeerId;
use shoal_world::{Completion, Socket};

use super::stage::{INFO, INFO_HASH, Stage, layout, paths};
use super::{content, payload};
use crate::limits::SERVING_EXTENTS_MIN;
use crate::torrent::Fetch;
use crate::{Command, Event, Order, Priority, Seeding};

/// What a peer was told besides requests, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Interested,
    NotInterested,
    Have(u32),
    Cancel(BlockRequest),
}

/// What one peer knows of us.
#[derive(Debug, Default)]
struct Ear {
    /// Bytes of the wire that were looked at.
    heard: usize,
    /// What it was asked for and has not sent or been told to forget.
    asked: Vec<BlockRequest>,
    said: Vec<Said>,
}

/// A torrent that is fetched, and its peers.
pub(super) struct Swarm {
    pub(super) stage: Stage,
    pub(super) layout: Arc<Layout>,
    /// All of its bytes.
    pub(super) payload: Vec<u8>,
    files: Vec<i64>,
    ears: BTreeMap<Socket, Ear>,
}

impl Swarm {
    /// A shard with room for so many extents of pieces, which fetches all of a torrent from its first piece on.
    pub(super) fn new(extents: u32, piece_length: u32, files: &[i64]) -> Swarm {
        Swarm::with(extents, piece_length, files, |_| {})
    }

    /// The same with other wishes, or pieces that are there.
    pub(super) fn with(
        extents: u32,
        piece_length: u32,
        files: &[i64],
        change: impl FnOnce(&mut Seeding),
    ) -> Swarm {
        let layout = Arc::new(layout(piece_length, files));
        let payload = payload(files);
        let mut swarm = Swarm {
            stage: Stage::empty(SERVING_EXTENTS_MIN + extents, 0, files),
            layout,
            payload,
            files: files.to_vec(),
            ears: BTreeMap::new(),
        };
        swarm.add(change);
        swarm
    }

    /// Adds the torrent, with nothing on disk but the pieces that `change` says are there.
    pub(super) fn add(&mut self, change: impl FnOnce(&mut Seeding)) {
        let digest = |piece: &[u8]| Digest::Sha1(Sha1::digest(piece).into());
        let hashes = self
            .payload
            .chunks(self.layout.piece_length() as usize)
            .map(digest);
        let fetch = Fetch {
            hashes: hashes.collect(),
            priorities: vec![Priority::Normal; self.files.len()],
            order: Order::Sequential,
        };
        let mut seeding = Seeding {
            info_hash: INFO_HASH,
            layout: self.layout.clone(),
            info: INFO.into(),
            paths: paths(self.files.len()),
            have: Bitfield::none(self.layout.pieces()),
            stamps: vec![None; self.files.len()],
            fetch: Some(fetch),
        };
        change(&mut seeding);
        for (file, len) in (0..).zip(&self.files).filter(|(_, len)| **len > 0) {
            self.stage.disk.insert(file, vec![0; *len as usize]);
        }
        for piece in self
            .layout
            .piece_indices()
            .filter(|piece| seeding.have.has(*piece))
        {
            let (start, len) = (self.layout.piece_offset(piece), self.layout.piece_len(piece));
            for segment in self
                .layout
                .segments(start, len.into())
                .filter(|segment| !segment.padding)
            {
                let file = segment.file.index() as u32;
                let disk = self.stage.disk.get_mut(&file).expect("a file with bytes");
                for at in segment.offset..segment.offset + segment.len {
                    disk[at as usize] = content(file, at);
                }
            }
        }
        self.stage.command(Command::Add(Box::new(seeding)));
    }

    /// A peer that unchokes us and has these pieces. Every slot has its own address and peer id.
    pub(super) fn seed(&mut self, slot: u32, fast: bool, pieces: Range<u32>) -> Socket {
        let bits = self.bits(pieces);
        let socket = self.guest(slot, fast);
        self.stage
            .say(socket, &[Message::Bitfield(&bits), Message::Unchoke]);
        socket
    }

    /// One that has everything.
    pub(super) fn full_seed(&mut self, slot: u32, fast: bool) -> Socket {
        self.seed(slot, fast, 0..self.layout.pieces())
    }

    /// A peer that came, shook hands and said nothing.
    pub(super) fn guest(&mut self, slot: u32, fast: bool) -> Socket {
        let address = format!("10.0.0.{}:6881", slot + 1).parse().unwrap();
        let socket = Socket { slot, generation: 0 };
        self.stage.turn(vec![Completion::Accepted { socket, address }]);
        self.stage.greet(socket, fast, peer_id(slot));
        socket
    }

    /// These pieces as a bitfield of the wire.
    pub(super) fn bits(&self, pieces: Range<u32>) -> Vec<u8> {
        let mut bits = Bitfield::none(self.layout.pieces());
        for piece in pieces.filter_map(|piece| self.layout.piece(piece)) {
            bits.set(piece);
        }
        let mut bytes = Vec::new();
        bits.write_wire(&mut bytes);
        bytes
    }

    /// What a peer was asked for and has not sent, in order.
    pub(super) fn asked(&mut self, socket: Socket) -> Vec<BlockRequest> {
        self.listen(socket).asked.clone()
    }

    /// What else it was told since this was looked at last.
    pub(super) fn said(&mut self, socket: Socket) -> Vec<Said> {
        std::mem::take(&mut self.listen(socket).said)
    }

    fn listen(&mut self, socket: Socket) -> &mut Ear {
        let ear = self.ears.entry(socket).or_default();
        let wire = self.stage.wire.get(&socket).map_or(&[][..], Vec::as_slice);
        // The first thing on every connection is our handshake.
        let mut bytes = wire.get(ear.heard.max(68)..).unwrap_or_default();
        let mut decoder = Decoder::new(self.layout.pieces());
        while let Some(message) = decoder.next(&mut bytes).expect("we speak by the book") {
            match message {
                Message::Request(block) => ear.asked.push(block),
                Message::Cancel(block) => {
                    ear.asked.retain(|asked| *asked != block);
                    ear.said.push(Said::Cancel(block));
                }
                Message::Interested => ear.said.push(Said::Interested),
                Message::NotInterested => ear.said.push(Said::NotInterested),
                Message::Have(piece) => ear.said.push(Said::Have(piece)),
                _ => {}
            }
        }
        ear.heard = wire.len();
        ear
    }

    /// The right bytes of a block.
    pub(super) fn block(&self, block: BlockRequest) -> Vec<u8> {
        let start = block.index as usize * self.layout.piece_length() as usize + block.begin as usize;
        self.payload[start..][..block.length as usize].to_vec()
    }

    /// A peer sends a block, right or wrong.
    pub(super) fn send(&mut self, socket: Socket, block: BlockRequest, right: bool) {
        let mut data = self.block(block);
        if !right {
            data[0] ^= 1;
        }
        self.listen(socket).asked.retain(|asked| *asked != block);
        let (index, begin) = (block.index, block.begin);
        let message = Message::Piece {
            index,
            begin,
            data: &data,
        };
        self.stage.say(socket, &[message]);
    }

    /// A peer sends everything that it is asked for at the moment.
    pub(super) fn answer(&mut self, socket: Socket) {
        for block in self.asked(socket) {
            self.send(socket, block, true);
        }
    }

    /// Peers send what they are asked for until nobody is asked for anything.
    pub(super) fn serve(&mut self, sockets: &[Socket]) {
        while sockets.iter().any(|socket| !self.asked(*socket).is_empty()) {
            sockets.iter().for_each(|socket| self.answer(*socket));
        }
    }

    /// A command for the torrent, and what follows of it.
    pub(super) fn command(&mut self, command: Command) {
        self.stage.command(command);
        self.stage.turn(Vec::new());
    }

    pub(super) fn told(&self, event: impl Fn(&Event) -> bool) -> usize {
        self.stage.events.iter().filter(|told| event(told)).count()
    }

    /// All files hold the torrent's bytes, and the owner was told that it is finished.
    pub(super) fn check_finished(&self) {
        for (file, len) in (0..).zip(&self.files).filter(|(_, len)| **len > 0) {
            let right = (0..*len as u64).map(|at| content(file, at));
            assert!(
                self.stage.disk[&file].iter().copied().eq(right),
                "file {file} differs"
            );
        }
        assert_eq!(
            self.told(|event| matches!(event, Event::TorrentFinished { .. })),
            1,
            "{:?}",
            self.stage.events
        );
    }

    /// No memory and no file is held for anything.
    pub(super) fn check_nothing_leaks(&mut self) {
        let shard = &mut self.stage.shard;
        assert_eq!(shard.buffers.held(), 0, "extents of pieces");
        assert!(shard.cache.is_idle(), "extents of reads");
        assert!(shard.writes.is_empty() && shard.syncs.is_empty() && shard.hashes.is_empty());
        assert!(shard.abandoned.is_empty());
        if shard.torrents.len() == 0 {
            assert_eq!(self.stage.open_files(), 0);
        }
    }
}

/// Who the peer in a slot is.
pub(super) fn peer_id(slot: u32) -> PeerId {
    PeerId::new([slot as u8 + 50; 20])
}

/// A block of a piece by its place in it.
pub(super) fn block(index: u32, place: u32) -> BlockRequest {
    BlockRequest {
        index,
        begin: place * BLOCK_LEN,
        length: BLOCK_LEN,
    }
}
