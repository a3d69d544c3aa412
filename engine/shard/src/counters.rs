//! What a shard counts: in sums, by torrent, by peer.

use std::net::SocketAddr;

use shoal_proto::info_hash::InfoHash;
use shoal_proto::peer_id::PeerId;

use crate::peer::Conversation;
use crate::shard::Shard;

/// Sums since the shard began, and how many there are of what comes and goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections at the moment, those in their handshake included.
    pub peers: u64,
    /// Torrents that are served.
    pub torrents: u64,
    /// Bytes of blocks that were sent.
    pub uploaded_bytes: u64,
    /// Those of them that came from framed extents.
    pub uploaded_framed_bytes: u64,
    /// Bytes that were read from files.
    pub read_bytes: u64,
    /// Bytes that were written to framed extents.
    pub promoted_bytes: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were closed because their peer broke the protocol.
    pub violations: u64,
    /// Connections that were closed because a deadline passed.
    pub timeouts: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Bytes of blocks that came.
    pub downloaded_bytes: u64,
    /// Those of them that nobody needed.
    pub wasted_bytes: u64,
    /// Bytes of pieces that were verified and written.
    pub written_bytes: u64,
    /// Pieces that were not what the torrent says.
    pub failed_pieces: u64,
    /// Times that a peer let us wait too long.
    pub snubbed: u64,
    /// Peers that were proven to have sent wrong bytes.
    pub banned: u64,
}

impl Counters {
    /// How many numbers there are.
    pub const LEN: usize = 16;

    /// All of them, in the order of their declaration.
    pub fn values(&self) -> [u64; Counters::LEN] {
        let Counters {
            peers,
            torrents,
            uploaded_bytes,
            uploaded_framed_bytes,
            read_bytes,
            promoted_bytes,
            accepted,
            violations,
            timeouts,
            refused,
            downloaded_bytes,
            wasted_bytes,
            written_bytes,
            failed_pieces,
            snubbed,
            banned,
        } = *self;
        [
            peers,
            torrents,
            uploaded_bytes,
            uploaded_framed_bytes,
            read_bytes,
            promoted_bytes,
            accepted,
            violations,
            timeouts,
            refused,
            downloaded_bytes,
            wasted_bytes,
            written_bytes,
            failed_pieces,
            snubbed,
            banned,
        ]
    }

    /// The inverse of [`Counters::values`].
    pub fn from_values(values: [u64; Counters::LEN]) -> Counters {
        let [
            peers,
            torrents,
            uploaded_bytes,
            uploaded_framed_bytes,
            read_bytes,
            promoted_bytes,
            accepted,
            violations,
            timeouts,
            refused,
            downloaded_bytes,
            wasted_bytes,
            written_bytes,
            failed_pieces,
            snubbed,
            banned,
        ] = values;
        Counters {
            peers,
            torrents,
            uploaded_bytes,
            uploaded_framed_bytes,
            read_bytes,
            promoted_bytes,
            accepted,
            violations,
            timeouts,
            refused,
            downloaded_bytes,
            wasted_bytes,
            written_bytes,
            failed_pieces,
            snubbed,
            banned,
        }
    }
}

/// One torrent at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentReport {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Peers that finished their handshake for it.
    pub peers: u32,
    /// Bytes of its blocks that were sent since it was added.
    pub uploaded_bytes: u64,
    /// Bytes of its blocks that came since then.
    pub downloaded_bytes: u64,
    /// Pieces that are there.
    pub pieces_have: u32,
    /// Pieces that are wanted and not there.
    pub pieces_wanted: u32,
}

/// One peer at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// Where it is.
    pub address: SocketAddr,
    /// Who it says it is.
    pub peer_id: PeerId,
    /// What it calls its program, if it said so.
    pub client: Option<Box<str>>,
    /// Which torrent it is here for.
    pub info_hash: InfoHash,
    /// It wants something.
    pub interested: bool,
    /// It is served.
    pub unchoked: bool,
    /// Requests of it that wait.
    pub requests: u32,
    /// Bytes of blocks that it was sent.
    pub uploaded_bytes: u64,
    /// Bytes of blocks that came from it.
    pub downloaded_bytes: u64,
    /// Blocks that it was asked for and that have not come.
    pub asked: u32,
}

/// Everything that a shard serves and everybody it talks to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every torrent.
    pub torrents: Vec<TorrentReport>,
    /// Every peer that finished its handshake.
    pub peers: Vec<PeerReport>,
}

impl Shard {
    /// What is served to whom at this moment.
    pub fn report(&self) -> Report {
        let torrents = self.torrents.all().map(|active| TorrentReport {
            info_hash: active.info_hash,
            peers: active.peers.len() as u32,
            uploaded_bytes: active.uploaded_bytes,
            downloaded_bytes: active.downloaded_bytes,
            pieces_have: active.have.count(),
            pieces_wanted: active.wanted_left(),
        });
        let torrents = torrents.collect();
        let peer = |peer: &Conversation| {
            let info_hash = self.torrents.get(peer.torrent)?.info_hash;
            Some(PeerReport {
                address: peer.address,
                peer_id: peer.peer_id,
                client: peer.client.clone(),
                info_hash,
                interested: peer.interested,
                unchoked: peer.unchoked,
                requests: peer.requests.len() as u32,
                uploaded_bytes: peer.uploaded_bytes,
                downloaded_bytes: peer
                    .download
                    .as_ref()
                    .map_or(0, |download| download.downloaded_bytes),
                asked: peer
                    .download
                    .as_ref()
                    .map_or(0, |download| download.asked.len() as u32),
            })
        };
        Report {
            torrents,
            peers: self.peers.conversations().filter_map(peer).collect(),
        }
    }
}
