//! One connection, from its acceptance to its end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU8;

use shoal_proto::handshake::Handshake;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::{PieceIndex, Span};
use shoal_proto::message::{Decoder, PIECE_HEADER_LEN};
use shoal_proto::peer_id::PeerId;
use shoal_world::{Frame, Socket, Time};

use crate::download::{Download, Rate};
use crate::hot::FrameKey;
use crate::limits::RUN_BLOCKS_MIN;
use crate::serving::Wanted;
use crate::torrent::TorrentId;

/// What a connection is at the moment.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It was accepted and its handshake is awaited until the deadline.
    Greeting { address: SocketAddr, deadline: Time },
    /// We connected to it and sent our handshake; its own is awaited until the deadline.
    Calling(Box<Called>),
    /// Both sides know each other and the torrent.
    Talking(Box<Conversation>),
    /// It is being closed; what still completes for it is only taken note of. A send that is under way holds pins.
    Closing {
        address: SocketAddr,
        held: Option<Transmission>,
    },
}

/// A peer that we connected to.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) address: SocketAddr,
    pub(crate) deadline: Time,
    pub(crate) info_hash: InfoHash,
    /// Our handshake, as long as it is being sent.
    pub(crate) sending: Option<Transmission>,
    /// Its handshake, if it came before ours had gone.
    pub(crate) answer: Option<Handshake>,
}

/// A peer that finished its handshake.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) address: SocketAddr,
    pub(crate) torrent: TorrentId,
    pub(crate) decoder: Decoder,
    /// We connected to it.
    pub(crate) called: bool,
    /// What we fetch from it; only of torrents that had pieces to fetch when it came.
    pub(crate) download: Option<Box<Download>>,
    /// Both sides know BEP 6.
    pub(crate) fast: bool,
    pub(crate) interested: bool,
    /// What the choker knows of its interest.
    pub(crate) weighed: bool,
    /// We serve it.
    pub(crate) unchoked: bool,
    /// It has said which pieces it has, or something else instead: have-all and have-none are violations from here on.
    pub(crate) introduced: bool,
    /// Pieces it says it has; only the number matters to a seed.
    pub(crate) pieces: u32,
    /// Pieces that were proposed to it and that it has not asked for.
    pub(crate) proposed: Vec<PieceIndex>,
    /// What it asked for and nothing is done about yet, in its order.
    pub(crate) requests: VecDeque<Span>,
    /// Requests that came and were not cancelled: each can be taken back once.
    pub(crate) cancellable: u32,
    /// Requests refused since the last one that was taken.
    pub(crate) refused: u32,
    /// The id under which it takes metadata messages (BEP 9), if it does.
    pub(crate) metadata_id: Option<NonZeroU8>,
    /// The id under which it takes upload-only messages (BEP 21), if it does.
    pub(crate) upload_only_id: Option<NonZeroU8>,
    /// It fetches nothing.
    pub(crate) upload_only: bool,
    /// Pieces of the `info` dictionary that it asked for.
    pub(crate) metadata_requests: VecDeque<u32>,
    /// Control messages to send.
    pub(crate) outbox: Vec<u8>,
    /// Runs that are being read ahead, in order.
    pub(crate) planned: VecDeque<Run>,
    pub(crate) upload: Upload,
    /// Since when the socket has taken nothing of what is there for it.
    pub(crate) stalled_since: Option<Time>,
    /// Blocks in its next run at most: grows while it takes whole runs, shrinks when it does not.
    pub(crate) run_blocks: usize,
    /// Payload bytes that the round robin still owes it.
    pub(crate) deficit: u32,
    /// It stands in the round robin.
    pub(crate) queued: bool,
    pub(crate) peer_id: PeerId,
    /// What it calls its program, if it says so.
    pub(crate) client: Option<Box<str>>,
    /// Bytes of blocks that it was sent.
    pub(crate) uploaded_bytes: u64,
    /// How many of them before it was unchoked last.
    pub(crate) uploaded_before: u64,
    pub(crate) upload_rate: Rate,
    /// Who stays when there is no room for all (BEP 40).
    pub(crate) priority: u32,
    /// When the conversation began.
    pub(crate) joined: Time,
    pub(crate) received_at: Time,
    pub(crate) sent_at: Time,
}

/// What is happening on the sending side.
#[derive(Debug)]
pub(crate) enum Upload {
    /// Nothing.
    Idle,
    /// An operation is under way.
    Sending(Transmission),
    /// The socket took a part, or nothing; it will say when it takes more.
    Blocked(Transmission),
    /// The socket takes more; the rest waits for its turn, or for the disk.
    Resuming(Transmission),
}

/// Bytes that go out together and in order: control messages, then the blocks of a run.
#[derive(Debug)]
pub(crate) struct Transmission {
    pub(crate) control: Vec<u8>,
    pub(crate) run: Option<Run>,
    /// Bytes of both that the socket took.
    pub(crate) sent: u32,
}

/// Requests that are served together.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) blocks: Vec<Span>,
    pub(crate) source: Source,
}

/// Where the blocks of a run come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Nothing holds them for this run.
    Unplanned,
    /// Pinned pages of the arena, valid or being read. They may be promoted on the way.
    Arena {
        needs: Vec<Wanted>,
        promote: Option<FrameKey>,
    },
    /// A pinned framed extent, from this byte on.
    Framed { frame: Frame, start: u32 },
}

impl Conversation {
    pub(crate) fn new(
        address: SocketAddr,
        peer_id: PeerId,
        torrent: TorrentId,
        pieces: u32,
        fast: bool,
        now: Time,
    ) -> Conversation {
        Conversation {
            address,
            torrent,
            decoder: Decoder::new(pieces),
            called: false,
            download: None,
            fast,
            interested: false,
            weighed: false,
            unchoked: false,
            introduced: false,
            pieces: 0,
            proposed: Vec::new(),
            requests: VecDeque::new(),
            cancellable: 0,
            refused: 0,
            metadata_id: None,
            upload_only_id: None,
            upload_only: false,
            metadata_requests: VecDeque::new(),
            outbox: Vec::new(),
            planned: VecDeque::new(),
            upload: Upload::Idle,
            stalled_since: None,
            run_blocks: RUN_BLOCKS_MIN,
            deficit: 0,
            queued: false,
            peer_id,
            client: None,
            uploaded_bytes: 0,
            uploaded_before: 0,
            upload_rate: Rate::default(),
            priority: 0,
            joined: now,
            received_at: now,
            sent_at: now,
        }
    }
}

impl Transmission {
    pub(crate) fn len(&self) -> u32 {
        self.control.len() as u32 + self.run.as_ref().map_or(0, Run::wire_len)
    }
}

impl Run {
    /// Bytes of its messages.
    pub(crate) fn wire_len(&self) -> u32 {
        self.blocks
            .iter()
            .map(|block| block.len() + PIECE_HEADER_LEN as u32)
            .sum()
    }

    /// Bytes of its blocks.
    pub(crate) fn payload_len(&self) -> u32 {
        self.blocks.iter().map(|block| block.len()).sum()
    }
}

/// The peers of one core: the slots of its sockets.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<(Socket, Peer)>>,
    len: usize,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, socket: Socket, peer: Peer) {
        let slot = socket.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "two peers in one socket slot");
        self.slots[slot] = Some((socket, peer));
        self.len += 1;
    }

    pub(crate) fn get(&mut self, socket: Socket) -> Option<&mut Peer> {
        match self.slots.get_mut(socket.slot as usize)? {
            Some((present, peer)) if *present == socket => Some(peer),
            _ => None,
        }
    }

    pub(crate) fn talking(&mut self, socket: Socket) -> Option<&mut Conversation> {
        match self.get(socket)? {
            Peer::Talking(conversation) => Some(conversation),
            _ => None,
        }
    }

    /// What we fetch from a peer.
    pub(crate) fn download(&mut self, socket: Socket) -> Option<&mut Download> {
        self.talking(socket)?.download.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, socket: Socket) -> Option<Peer> {
        self.get(socket)?;
        self.len -= 1;
        self.slots[socket.slot as usize].take().map(|(_, peer)| peer)
    }

    /// All conversations, in the order of their slots.
    pub(crate) fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.slots.iter().flatten().filter_map(|(_, peer)| match peer {
            Peer::Talking(conversation) => Some(conversation.as_ref()),
            _ => None,
        })
    }

    /// The conversation of the lowest priority.
    pub(crate) fn lowest(&self) -> Option<(u32, Socket)> {
        let talking = self
            .slots
            .iter()
            .flatten()
            .filter_map(|(socket, peer)| match peer {
                Peer::Talking(conversation) => Some((conversation.priority, *socket)),
                _ => None,
            });
        talking.min()
    }

    /// Everybody, in the order of their slots.
    pub(crate) fn sockets(&self) -> Vec<Socket> {
        self.slots.iter().flatten().map(|(socket, _)| *socket).collect()
    }
}
