//! What a shard counts.

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
}
