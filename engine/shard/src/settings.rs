//! What an operator chose, as far as a shard is concerned.

use std::sync::Arc;
use std::time::Duration;

use shoal_proto::peer_id::PeerId;
use shoal_world::CoreIndex;

use crate::choker::{Algorithm, Slots};
use crate::throttle::Throttles;

/// The settings of one shard. Numbers of connections and files are this core's share of what is allowed for all.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which core this is.
    pub core: CoreIndex,
    /// How many cores there are. At least 1.
    pub cores: u16,
    /// Who we say we are.
    pub peer_id: PeerId,
    /// Name and version of the program, for the extension handshake.
    pub client: String,
    /// Peers of one torrent that are served at a time.
    pub upload_slots: Slots,
    /// Who is served while there is nothing to fetch, where slots are bounded.
    pub choking: Algorithm,
    /// Connections at most.
    pub peers_max: u32,
    /// Connections from one address at most, this machine's own excepted.
    pub peers_per_address_max: u32,
    /// Requests of one peer that wait at most.
    pub requests_per_peer_max: u32,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Silence after which a peer is gone.
    pub idle_timeout: Duration,
    /// Time in which a peer must take a byte of what is sent to it.
    pub send_stall_timeout: Duration,
    /// Limits of rates, the same value for all cores.
    pub throttles: Arc<Throttles>,
    /// Where this shard's random choices begin.
    pub seed: u64,
    /// Files held open at most.
    pub files_open_max: u32,
}
