//! A shard that fetches a torrent from peers who do what the input says, in a world that does so as well.
//!
//! An input is one byte of circumstances and a program: opcodes, each with its arguments in the bytes behind it, zeroes
//! when there are none left. Peers come, go, tell what they have, choke, answer rightly and wrongly, a part of a block at a
//! time, refuse, suggest, allow, do not read; operations on files and hashes end at once, or one by one in any order, and
//! fail; the owner changes its mind; time passes.
//!
//! What must hold, whatever the input:
//! - nothing panics, spins, breaks the contract of the world, or is held when everything ended;
//! - only right bytes are written, to their place, and what is said to be written or durable is;
//! - a peer is asked only for what it has and we miss, while it may be asked, each block once, never more than it queues;
//! - who never sent a wrong byte is not banned, and the first peer never does;
//! - when nothing goes wrong any more, the torrent becomes complete, be everybody else gone or silent.
//!
//! The first byte, from its lowest bit: three bits for the torrent, one for memory in which a single piece fits and little
//! more, one for the order, one for slots that are bounded, one for what the peers do at the end (stay and say nothing, or
//! go), one for a stop in the middle of everything.

mod line;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::digest::Digest;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{FileLength, Layout};
use shoal_shard::{Command, Fetch, Order, Priority, Seeding, Settings, Slots};
use shoal_world::Socket;

use self::line::Line;
use self::stage::{HONEST, PEERS, Stage};
use crate::bencode::Value;
use crate::peer::{FAST_AND_EXTENDED, Handshake, Message, PLAIN};
use crate::sample::Block;
use crate::sim::cast;
use crate::sim::errno;
use crate::sim::torrent::Torrent;

/// Bytes of the input that are taken: longer ones only do the same for longer.
const INPUT_LEN_MAX: usize = 2_048;

/// Bytes that peers say before the program ends: some times what the largest torrent has.
const HEARD_LEN_MAX: usize = 4 << 20;

/// Extents that a shard leaves to its cache, whatever it fetches; more are for pieces.
const EXTENTS_SERVING: u32 = 64;

/// Time in which one honest peer delivers everything once nothing goes wrong: silent peers are snubbed after 15 s,
/// their pieces given up after 30 s each, and a full disk is tried again every 2 s.
const SECONDS_MAX: u32 = 600;

/// Any program.
pub fn fetching(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_LEN_MAX)];
    let Some((circumstances, program)) = data.split_first() else {
        return;
    };
    let mut play = Play::new(*circumstances, program);
    while play.step() {}
    if circumstances & 0x80 == 0 {
        play.complete(circumstances & 0x40 == 0);
        play.remove();
        play.add();
        play.complete(false);
        play.remove();
    }
    play.stop();
}

/// The torrents: files that meet in pages and pieces, padding, pieces longer than an extent, files of less than a page.
fn torrent(number: u8) -> Torrent {
    match number {
        0 => Torrent::new(1, 32_768, &[70_000, -5_000, 0, 40_000]),
        1 => Torrent::new(2, 16_384, &[100_000]),
        2 => Torrent::new(3, 65_536, &[50_000, 150_000, 1, 3_000]),
        3 => Torrent::new(4, 131_072, &[400_000]),
        4 => Torrent::new(
            5,
            32_768,
            &[[100; 250].as_slice(), &[20_000, -4_576, 9_000]].concat(),
        ),
        5 => Torrent::new(6, 524_288, &[300_000, 400_000]),
        6 => Torrent::new(7, 8_192, &[8_192, -8_192, 20_000]),
        _ => Torrent::new(8, 16_384, &[16_000, -384, 5_000, -11_384, 30_000]),
    }
}

/// Extents in which the longest piece of any of these torrents fits: three are touched by one of 512 KiB.
const EXTENTS_TIGHT: u32 = 3;

fn layout(torrent: &Torrent) -> Layout {
    let lengths = torrent.files.iter().map(|file| FileLength {
        len: file.len,
        padding: file.padding,
    });
    Layout::new(torrent.piece_len, lengths).expect("the torrents are possible")
}

/// A program and what it plays with.
struct Play<'a> {
    stage: Stage,
    layout: Arc<Layout>,
    order: Order,
    program: &'a [u8],
}

impl<'a> Play<'a> {
    fn new(circumstances: u8, program: &'a [u8]) -> Play<'a> {
        let torrent = torrent(circumstances & 7);
        let layout = Arc::new(layout(&torrent));
        let tight = circumstances & 8 != 0;
        let slots = if circumstances & 0x20 == 0 {
            Slots::Unlimited
        } else {
            Slots::Fixed(1)
        };
        let settings = Settings {
            upload_slots: slots,
            files_open_max: 3,
            peers_max: 50,
            ..cast::settings()
        };
        let extents = EXTENTS_SERVING + if tight { EXTENTS_TIGHT } else { 20 };
        let mut play = Play {
            stage: Stage::new(settings, extents, torrent),
            layout,
            order: if circumstances & 0x10 == 0 {
                Order::RarestFirst
            } else {
                Order::Sequential
            },
            program,
        };
        play.stage.settle();
        play.add();
        play
    }

    fn info_hash(&self) -> InfoHash {
        InfoHash::V1(self.stage.torrent.info_hash)
    }

    /// The owner adds the torrent if it is not there, and nothing of it is.
    fn add(&mut self) {
        if self.stage.present {
            return;
        }
        self.stage.empty_files();
        let hashes = self.stage.torrent.hashes().iter().copied().map(Digest::Sha1);
        let files = &self.stage.torrent.files;
        let seeding = Seeding {
            info_hash: self.info_hash(),
            info: vec![b'i'; 100].into(),
            have: Bitfield::none(self.layout.pieces()),
            paths: files.iter().map(|file| file.path.clone()).collect(),
            stamps: vec![None; files.len()],
            layout: self.layout.clone(),
            fetch: Some(Fetch {
                hashes: hashes.collect(),
                priorities: vec![Priority::Normal; files.len()],
                order: self.order,
            }),
        };
        self.stage.add(seeding);
    }

    /// Does what the next opcode says. False: nothing is left.
    fn step(&mut self) -> bool {
        if self.program.is_empty() || self.stage.heard_len > HEARD_LEN_MAX {
            return false;
        }
        match self.byte() % 32 {
            0 => self.peer_comes(),
            1 => self.peer_goes(),
            2 => self.say(|_| Message::Unchoke),
            3 => self.say(|_| Message::Choke),
            4 => self.say(|play| Message::Have { piece: play.piece() }),
            5 => self.say(|play| Message::Bitfield { bits: play.bits() }),
            6 => self.say(|play| {
                if play.byte().is_multiple_of(4) {
                    Message::HaveNone
                } else {
                    Message::HaveAll
                }
            }),
            7 => self.say(|play| Message::Suggest { piece: play.piece() }),
            8 => self.say(|play| Message::AllowedFast { piece: play.piece() }),
            9 | 10 => self.peer_answers(),
            11 => self.peer_answers_all(),
            12 => self.peer_refuses(),
            13 => self.peer_sends_unasked(),
            14 => self.say(|play| {
                if play.byte().is_multiple_of(2) {
                    Message::Interested
                } else {
                    Message::NotInterested
                }
            }),
            15 => self.say(|play| Message::Request(play.block())),
            16 => self.say(|play| Message::Cancel(play.block())),
            17 => self.say(Play::extension_handshake),
            18 => self.say_nonsense(),
            19 => self.speak_slowly(),
            20 => self.read_slowly(),
            21 => self.pass(),
            22 => self.stage.prompt = !self.stage.prompt,
            23 | 24 => self.operation_ends(),
            25 => self.stage.disk_full = !self.stage.disk_full,
            26 => self.prioritise(),
            27 => self.expect(),
            28 => self.limit(),
            29 => self.call(),
            30 => self.call_ends(),
            _ => self.owner_changes_its_mind(),
        }
        self.stage.settle();
        true
    }

    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.program.split_first() else {
            return 0;
        };
        self.program = rest;
        *byte
    }

    /// A piece near those that exist.
    fn piece(&mut self) -> u32 {
        u32::from(self.byte()) % (self.layout.pieces() + 1)
    }

    fn bits(&mut self) -> Vec<u8> {
        let pieces = self.layout.pieces() as usize;
        let mut bits: Vec<u8> = (0..pieces.div_ceil(8)).map(|_| self.byte()).collect();
        if let (Some(last), spare @ 1..) = (bits.last_mut(), pieces.div_ceil(8) * 8 - pieces) {
            *last &= u8::MAX << spare;
        }
        bits
    }

    /// A block of a piece that exists, where blocks are cut or a little off.
    fn block(&mut self) -> Block {
        let (piece, place) = (self.byte(), self.byte());
        let piece = u32::from(piece) % self.layout.pieces();
        let blocks: Vec<Block> = self.stage.torrent.blocks_of(piece).collect();
        let block = blocks[usize::from(place) % blocks.len()];
        if place < 240 {
            return block;
        }
        Block {
            len: block.len.saturating_sub(1).max(1),
            ..block
        }
    }

    /// One of the connections.
    fn socket(&mut self) -> Option<Socket> {
        let sockets: Vec<Socket> = self.stage.lines.keys().copied().collect();
        let chosen = usize::from(self.byte());
        sockets.get(chosen % sockets.len().max(1)).copied()
    }

    /// One of them says something.
    fn say(&mut self, message: impl FnOnce(&mut Play<'a>) -> Message) {
        let Some(socket) = self.socket() else { return };
        let message = message(self);
        self.send(socket, &message);
    }

    fn send(&mut self, socket: Socket, message: &Message) {
        let Some(line) = self.stage.lines.get_mut(&socket) else {
            return;
        };
        if line.closing {
            return;
        }
        line.say(message);
        if !line.slow {
            self.stage.deliver(socket, usize::MAX);
        }
    }

    /// A connection of a peer, its handshake said.
    fn line(&self, peer: usize, fast: bool) -> Line {
        let mut line = Line::new(peer, fast, self.layout.pieces());
        let handshake = Handshake {
            reserved: if fast { FAST_AND_EXTENDED } else { PLAIN },
            info_hash: self.stage.torrent.info_hash,
            peer_id: [b'a' + peer as u8; 20],
        };
        line.says.extend(handshake.encode());
        line
    }

    fn accept(&mut self, peer: usize, fast: bool) -> Option<Socket> {
        let before: Vec<Socket> = self.stage.lines.keys().copied().collect();
        self.stage.accept(self.line(peer, fast));
        let mut now = self.stage.lines.keys().copied();
        let socket = now.find(|socket| !before.contains(socket))?;
        self.stage.deliver(socket, usize::MAX);
        Some(socket)
    }

    fn peer_comes(&mut self) {
        let who = self.byte();
        self.accept(usize::from(who) % (PEERS - 2), who < 128);
    }

    fn peer_goes(&mut self) {
        if let Some(socket) = self.socket() {
            let error = self.byte().is_multiple_of(2).then_some(errno::ECONNRESET);
            self.stage.hang_up(socket, error);
        }
    }

    /// A block that was asked for comes, right or not.
    fn peer_answers(&mut self) {
        let Some(socket) = self.socket() else { return };
        let (which, how) = (self.byte(), self.byte());
        let asked = self.stage.lines[&socket].asked();
        if let Some(block) = asked.get(usize::from(which) % asked.len().max(1)).copied() {
            self.send_block(socket, block, how % 8 != 7);
        }
    }

    /// Everything that was asked for comes as it should.
    fn peer_answers_all(&mut self) {
        let Some(socket) = self.socket() else { return };
        let asked = self.stage.lines[&socket].asked().to_vec();
        asked
            .into_iter()
            .for_each(|block| self.send_block(socket, block, true));
    }

    fn peer_refuses(&mut self) {
        let Some(socket) = self.socket() else { return };
        let which = self.byte();
        let asked = self.stage.lines[&socket].asked();
        if let Some(block) = asked.get(usize::from(which) % asked.len().max(1)).copied() {
            self.send(socket, &Message::Reject(block));
        }
    }

    fn peer_sends_unasked(&mut self) {
        let Some(socket) = self.socket() else { return };
        let block = self.block();
        let right = self.byte().is_multiple_of(2);
        self.send_block(socket, block, right);
    }

    fn send_block(&mut self, socket: Socket, block: Block, right: bool) {
        let Some(line) = self.stage.lines.get(&socket) else {
            return;
        };
        let torrent = &self.stage.torrent;
        let start = torrent.place_of(block).expect("a block that exists");
        let mut data = vec![0; block.len as usize];
        torrent.read(start, &mut data);
        if !right && line.peer != HONEST {
            data[block.len as usize / 2] ^= 1;
            self.stage.liars.insert(line.peer);
        }
        let (piece, offset) = (block.piece, block.offset);
        self.send(socket, &Message::Piece { piece, offset, data });
    }

    fn extension_handshake(&mut self) -> Message {
        let (requests, only) = (self.byte(), self.byte());
        let payload = Value::dictionary([
            ("m", Value::dictionary([("upload_only", Value::Integer(3))])),
            ("reqq", Value::Integer(i64::from(requests))),
            ("upload_only", Value::Integer(i64::from(only % 8 == 7))),
        ]);
        Message::Extended {
            id: 0,
            payload: payload.encode(),
        }
    }

    /// Bytes of any kind. They may hold wrong blocks, so the honest peer says none.
    fn say_nonsense(&mut self) {
        let Some(socket) = self.socket() else { return };
        let len = self.byte();
        let bytes: Vec<u8> = (0..len % 32).map(|_| self.byte()).collect();
        let Some(line) = self.stage.lines.get_mut(&socket) else {
            return;
        };
        if line.closing || line.peer == HONEST {
            return;
        }
        line.loose = true;
        line.says.extend(bytes);
        self.stage.liars.insert(line.peer);
        self.stage.deliver(socket, usize::MAX);
    }

    /// What a peer says lies there from here on, or a part of it comes.
    fn speak_slowly(&mut self) {
        let Some(socket) = self.socket() else { return };
        let much = usize::from(self.byte());
        let line = self.stage.lines.get_mut(&socket).expect("it is there");
        line.slow = much != 255;
        let len = if line.slow {
            much * 128 + much % 7
        } else {
            usize::MAX
        };
        self.stage.deliver(socket, len);
    }

    /// A socket takes a part of the next send, or nothing until it is told otherwise.
    fn read_slowly(&mut self) {
        let Some(socket) = self.socket() else { return };
        let takes = usize::from(self.byte());
        let line = self.stage.lines.get_mut(&socket).expect("it is there");
        line.blocked = takes == 0;
        line.takes = takes;
    }

    fn pass(&mut self) {
        let much = u64::from(self.byte());
        self.stage.pass(if much < 128 {
            Duration::from_millis(much * 10)
        } else {
            Duration::from_secs((much - 128) / 2)
        });
    }

    /// One of the operations on files, or a hash, ends, and not always well.
    fn operation_ends(&mut self) {
        let (which, how) = (usize::from(self.byte()), self.byte());
        let ends: Vec<usize> = (0..self.stage.pending())
            .filter(|index| self.stage.called(*index).is_none())
            .collect();
        if let Some(index) = ends.get(which % ends.len().max(1)) {
            self.stage.perform(*index, how % 16 == 15);
        }
    }

    fn prioritise(&mut self) {
        let files = self.stage.torrent.files.len();
        let wishes = self.byte();
        let priority = |file: usize| match wishes >> (file % 4 * 2) & 3 {
            0 => Priority::Skip,
            1 => Priority::Low,
            2 => Priority::Normal,
            _ => Priority::High,
        };
        let info_hash = self.info_hash();
        self.stage
            .prioritise(info_hash, (0..files).map(priority).collect());
    }

    fn expect(&mut self) {
        let count = self.byte() % 4;
        let pieces = (0..count).map(|_| self.piece()).collect();
        let info_hash = self.info_hash();
        self.stage.command(Command::Expect { info_hash, pieces });
    }

    fn limit(&mut self) {
        let rate = |byte: u8| (byte > 0).then(|| u64::from(byte) * 1_000);
        let command = Command::Limit {
            info_hash: self.info_hash(),
            download: rate(self.byte()),
            upload: rate(self.byte()),
        };
        self.stage.command(command);
    }

    /// The owner knows where a peer is.
    fn call(&mut self) {
        let peer = usize::from(self.byte()) % (PEERS - 2);
        let command = Command::Connect {
            info_hash: self.info_hash(),
            addresses: vec![Stage::address(peer)],
        };
        self.stage.command(command);
        self.stage.pass(Duration::ZERO);
    }

    /// A call is answered, or not.
    fn call_ends(&mut self) {
        let how = self.byte();
        let calls: Vec<(usize, usize)> = (0..self.stage.pending())
            .filter_map(|index| {
                let address = self.stage.called(index)?;
                let peer = (0..PEERS).find(|peer| Stage::address(*peer) == address)?;
                Some((index, peer))
            })
            .collect();
        let Some((index, peer)) = calls.first().copied() else {
            return;
        };
        let line = (!how.is_multiple_of(4)).then(|| self.line(peer, how < 128));
        self.stage.answer(index, line);
        for socket in self.stage.lines.keys().copied().collect::<Vec<Socket>>() {
            if !self.stage.lines.get(&socket).is_none_or(|line| line.slow) {
                self.stage.deliver(socket, usize::MAX);
            }
        }
    }

    fn owner_changes_its_mind(&mut self) {
        let info_hash = self.info_hash();
        match self.byte() % 4 {
            0 => {
                self.stage.present = false;
                self.stage.command(Command::Remove { info_hash });
            }
            1 => self.add(),
            2 => {
                let order = self.order;
                self.stage.command(Command::Reorder { info_hash, order });
            }
            _ => {
                let (on, order) = (self.byte().is_multiple_of(2), Order::Sequential);
                self.stage.command(Command::Reorder { info_hash, order });
                self.stage.command(Command::SuperSeed { info_hash, on });
            }
        }
    }

    /// Nothing goes wrong any more, and one more peer has everything.
    fn complete(&mut self, alone: bool) {
        self.nothing_goes_wrong();
        if alone {
            for socket in self.stage.lines.keys().copied().collect::<Vec<Socket>>() {
                self.stage.hang_up(socket, None);
            }
        }
        if !self.stage.present {
            return;
        }
        let info_hash = self.info_hash();
        let priorities = vec![Priority::Normal; self.stage.torrent.files.len()];
        self.stage.prioritise(info_hash, priorities);
        self.stage.command(Command::Limit {
            info_hash,
            download: None,
            upload: None,
        });
        for _ in 0..SECONDS_MAX {
            if !self.stage.present || (self.stage.finished && self.stage.has.iter().all(|has| *has)) {
                return;
            }
            self.saviour_serves();
            self.stage.pass(Duration::from_secs(1));
        }
        panic!(
            "{} of {} pieces came from a peer that has all",
            self.stage.has.iter().filter(|has| **has).count(),
            self.stage.has.len()
        );
    }

    fn nothing_goes_wrong(&mut self) {
        (self.stage.prompt, self.stage.disk_full) = (true, false);
        for line in self.stage.lines.values_mut() {
            (line.slow, line.blocked) = (false, false);
        }
        self.stage.settle();
        for socket in self.stage.lines.keys().copied().collect::<Vec<Socket>>() {
            self.stage.deliver(socket, usize::MAX);
        }
    }

    /// The peer that has everything comes if it is not there, and sends what it was asked for.
    fn saviour_serves(&mut self) {
        let saviour = PEERS - 1;
        let mut lines = self.stage.lines.iter();
        let present = lines
            .find(|(_, line)| line.peer == saviour)
            .map(|(socket, _)| *socket);
        let socket = present.or_else(|| {
            let socket = self.accept(saviour, true)?;
            self.send(socket, &Message::HaveAll);
            self.send(socket, &Message::Unchoke);
            Some(socket)
        });
        let Some(socket) = socket else { return };
        while let Some(line) = self.stage.lines.get(&socket)
            && let Some(block) = line.asked().first().copied()
        {
            self.send_block(socket, block, true);
        }
    }

    /// The owner removes the torrent, and nothing of it is left.
    fn remove(&mut self) {
        self.stage.present = false;
        let info_hash = self.info_hash();
        self.stage.command(Command::Remove { info_hash });
        self.stage.settle();
        let calls = |stage: &Stage| (0..stage.pending()).find(|index| stage.called(*index).is_some());
        while let Some(index) = calls(&self.stage) {
            self.stage.answer(index, None);
        }
        self.stage.assert_idle();
    }

    fn stop(&mut self) {
        self.stage.command(Command::Stop);
        self.nothing_goes_wrong();
        while self.stage.pending() > 0 {
            self.stage.perform(0, false);
        }
        self.stage.pass(Duration::from_secs(5));
        assert!(self.stage.stopped, "a stop does not come to an end");
        assert!(self.stage.lines.is_empty(), "connections are left after a stop");
    }
}
