//! Every setting of the engine: what it means, its default, how it is read and written.
//!
//! A setting is declared once, as a documented field of [`Config`]; `config.yaml` at the root of the repository
//! repeats names, comments and defaults, and a test holds the two equal. The file is a flat YAML mapping. It is read
//! as a stream of events that carry their place, not through serde: serde stops at the first error and knows no
//! places afterwards, while somebody who edits a configuration wants to hear of all mistakes at once.
//!
//! Invariants:
//! - Every value that was read lies in the range that [`limits`] gives for it; nothing below checks again.
//! - A file with any mistake changes nothing: no half-read configuration exists.
//! - What [`Config::entries`] writes, [`Config::set`] reads back to the same value; so does [`Config::parse`] what
//!   [`Config::file_text`] writes.
//!
//! Not here: what `auto` comes to on this machine ([`crate::machine`]), and the command line, which calls
//! [`Config::set`] with the same texts.

mod document;
mod limits;
mod problem;
mod value;

pub use problem::{ConfigError, Place, Problem, ProblemKind};
pub use shoal_shard::Algorithm;
pub use shoal_uring::kernel::IoMode;
pub(crate) use value::write_cores;
pub use value::{Auto, Expected, Limit, LimitsCount, UploadSlots};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// All settings, in the order of `config.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address and TCP port on which peers are accepted; port 0 takes any free one.
    /// Default: all IPv4 addresses, port 6881. `'[::]:6881'`, in quotes, takes IPv6 and IPv4.
    /// Cost: none. A port that the router does not forward is reached only from the same network.
    pub listen: SocketAddr,

    /// CPUs that run the engine, one pinned thread each: numbers such as `0,2` or `0-3`, or `auto`.
    /// Default: auto, every CPU this process may run on.
    /// Cost: about 7 MiB and one thread a core, beside its share of arena and cache.
    /// Too few: one core is at 100 % while the disk and the network idle. Too many: other programs
    /// on this machine wait for a CPU.
    pub cores: Auto<Vec<usize>>,

    /// Registered memory that payload is read into before it is sent, and received into before it is
    /// written, for all cores together.
    /// Default: 64MiB. Range: 16MiB to 64GiB.
    /// Cost: this much memory, and for each core at least `piece_length_max` and 17 MiB, taken and pinned at
    /// the start.
    /// Too small: few reads are under way and few pieces are fetched at a time, the disk idles while
    /// peers wait. Too large: memory that the cache could use.
    pub arena_size: u64,

    /// Longest piece of a torrent that is fetched. Pieces are put together and verified in memory.
    /// Default: 64MiB. Range: 16KiB to 256MiB.
    /// Cost: `arena_size` is at least this much for each core, and 17 MiB.
    /// Too small: torrents with longer pieces are not fetched. Too large: memory that the cache could use.
    pub piece_length_max: u64,

    /// Cache of pieces that were asked for more than once, kept as ready-made messages, for all cores
    /// together. 0 turns it off.
    /// Default: auto, a quarter of the memory of the machine or its control group, at most 1GiB.
    /// Cost: up to this much shared memory, taken as it fills.
    /// Too small: popular pieces are read from the disk again and again, at twice the CPU time for a
    /// byte. Too large: the page cache of other programs shrinks, and the machine swaps.
    pub cache_size: Auto<u64>,

    /// How payload is read: `direct` goes around the page cache, `buffered` through it, `auto` takes
    /// direct wherever the file system supports it.
    /// Default: auto.
    /// Cost: buffered takes about a third more CPU time for a byte that is not cached, and fills the
    /// page cache. Direct reads every byte from the disk, even one that another program just wrote.
    pub io_mode: IoMode,

    /// What is fetched at most, in bytes a second, by all cores together; `unlimited` sets no bound.
    /// Default: unlimited. Range: 1KiB to 1TiB.
    /// Cost: none.
    /// Too small: the line is not full. Too large: other users of the line wait.
    pub download_limit: Limit,

    /// What is sent at most, in bytes a second, by all cores together; `unlimited` sets no bound.
    /// Default: unlimited. Range: 1KiB to 1TiB.
    /// Cost: none.
    /// Too small: peers wait although the line is not full. Too large: other users of the line wait.
    pub upload_limit: Limit,

    /// What is fetched at most from peers outside of local networks (RFC 1918, 3927, 4193), in bytes a second,
    /// besides the limit for all.
    /// Default: unlimited. Range: 1KiB to 1TiB.
    /// Cost: none.
    /// Too small: the line is not full. Too large: other users of the line wait.
    pub internet_download_limit: Limit,

    /// What is sent at most to peers outside of local networks, in bytes a second, besides the limit for all.
    /// Default: unlimited. Range: 1KiB to 1TiB.
    /// Cost: none.
    /// Too small: peers wait although the line is not full. Too large: other users of the line wait.
    pub internet_upload_limit: Limit,

    /// What counts against the limits: `payload`, or `traffic`, which adds what TCP and IP need (3.7 %).
    /// Default: payload.
    /// Cost: none.
    pub limits_count: LimitsCount,

    /// Peers of one torrent that are served at a time; `unlimited` serves every one that asks, `by-rate` as
    /// many as each take 2 KiB/s more than the one before.
    /// Default: unlimited. Range: 1 to 1000000.
    /// Cost: none by itself.
    /// Too small: the line is not full although peers wait. Too large: on a slow line every peer gets
    /// too little to pass on.
    pub upload_slots: UploadSlots,

    /// Who is served where `upload_slots` is bounded and nothing is left to fetch: `round-robin` each in turn,
    /// `fastest` those that take most, `anti-leech` those that have just begun or are nearly done. While
    /// something is fetched, those are served that give most (BEP 3).
    /// Default: round-robin.
    /// Cost: none.
    pub choking: Algorithm,

    /// Connections in all. Further ones are closed as they are accepted.
    /// Default: 10000. Range: 1 to 1000000.
    /// Cost: one descriptor and about 4 KiB each, and memory of the kernel for what is being sent.
    /// Too small: peers are turned away. Too large: without descriptors left, files cannot be opened.
    pub peers_max: u32,

    /// Connections from one IP address; those from this machine itself (127.0.0.0/8, ::1) are not counted.
    /// Default: 64. Range: 1 to 1000000.
    /// Cost: none.
    /// Too small: peers behind one shared address turn each other away. Too large: one machine can
    /// take all of `peers_max`.
    pub peers_per_address_max: u32,

    /// Requests that one peer may have waiting; it is told this number (`reqq` of BEP 10), and what
    /// exceeds it is refused.
    /// Default: 2000, which is 31 MiB of blocks: 10 Gbit/s at a round trip of 25 ms.
    /// Range: 32 to 65536.
    /// Cost: up to 16 bytes each for every peer.
    /// Too small: a fast and distant peer waits for answers. Too large: one peer can make the queue
    /// of its core long.
    pub requests_per_peer_max: u32,

    /// Time in which a new connection must have sent its whole handshake.
    /// Default: 10s. Range: 1s to 1m.
    /// Cost: a silent connection holds a descriptor for this long.
    /// Too short: distant peers on bad lines never get in. Too long: connections that say nothing
    /// use up `peers_max`.
    pub handshake_timeout: Duration,

    /// Time without a single byte from a peer after which it is disconnected. Peers send a keep-alive
    /// every two minutes (BEP 3).
    /// Default: 3m. Range: 121s to 1h.
    /// Cost: a peer that vanished without a word holds its place for this long.
    /// Too short: peers are lost for one delayed keep-alive. Too long: dead peers use up `peers_max`.
    pub idle_timeout: Duration,

    /// Time in which a peer that is being sent to must take at least one byte.
    /// Default: 1m. Range: 5s to 10m.
    /// Cost: what was read for that peer stays in memory for this long.
    /// Too short: peers on lines that fail for a moment are lost. Too long: peers that never read
    /// hold memory that others wait for.
    pub send_stall_timeout: Duration,

    /// Payload files that are held open, for all cores together; the one unused longest is closed for another.
    /// Default: 4096. Range: 16 to 1000000.
    /// Cost: one descriptor and about 1 KiB of the kernel's memory each.
    /// Too small: files are opened again for every few blocks. Too large: without descriptors left,
    /// peers are turned away.
    pub files_open_max: u32,

    /// Threads that read and hash when torrents are created or checked.
    /// Default: auto, one for every CPU this process may run on, fewer where a disk has an arm to move.
    /// Range: 1 to 1024.
    /// Cost: at work, one CPU each.
    /// Too few: the disk waits for the hashes. Too many: peers wait while a check runs.
    pub hashing_threads: Auto<u32>,

    /// Memory for reads under way when torrents are created or checked, all threads together.
    /// Default: 64MiB. Range: 4MiB to 16GiB.
    /// Cost: at most this much memory while it runs.
    /// Too small: the disk idles between reads. Too large: memory that others could use.
    pub hashing_memory: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6881),
            cores: Auto::Auto,
            arena_size: 64 << 20,
            piece_length_max: 64 << 20,
            cache_size: Auto::Auto,
            io_mode: IoMode::Auto,
            download_limit: Limit::Unlimited,
            upload_limit: Limit::Unlimited,
            internet_download_limit: Limit::Unlimited,
            internet_upload_limit: Limit::Unlimited,
            limits_count: LimitsCount::Payload,
            upload_slots: UploadSlots::Unlimited,
            choking: Algorithm::RoundRobin,
            peers_max: 10_000,
            peers_per_address_max: 64,
            requests_per_peer_max: 2_000,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(180),
            send_stall_timeout: Duration::from_secs(60),
            files_open_max: 4_096,
            hashing_threads: Auto::Auto,
            hashing_memory: 64 << 20,
        }
    }
}

/// Why one setting could not be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// There is no setting of this name; perhaps the other was meant.
    Unknown {
        /// The setting whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// The text is not a value of this setting.
    Value(Expected),
}

impl Config {
    /// Reads a configuration file; what it does not name keeps its default.
    ///
    /// # Errors
    /// All mistakes of the file at once, in the order of the file.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = document::read(file)?;
        Config::parse(&text).map_err(|problems| ConfigError::Invalid {
            file: file.to_owned(),
            problems,
        })
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// All mistakes of the text at once, in its order.
    pub fn parse(text: &str) -> Result<Config, Vec<Problem>> {
        let (entries, mut problems) = document::entries(text);
        let mut config = Config::default();
        for entry in entries {
            if let Err(error) = config.set(&entry.name, &entry.text) {
                problems.push(Problem::of_setting(entry, error));
            }
        }
        problems.sort_by_key(|problem| problem.place);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// Sets one setting from its text, as a file or the command line has it.
    ///
    /// # Errors
    /// The name is no setting's, or the text no value of it. Nothing has changed then.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
        self.set_known(name, text)
            .map_err(SettingError::Value)?
            .ok_or_else(|| SettingError::Unknown {
                nearest: self.nearest(name),
            })
    }

    fn set_known(&mut self, name: &str, text: &str) -> Result<Option<()>, Expected> {
        use value::{
            address, auto, choking, cores, count, duration, io_mode, limit, limits_count, size, upload_slots,
        };
        match name {
            "listen" => self.listen = address(text)?,
            "cores" => self.cores = auto(text, cores)?,
            "arena_size" => self.arena_size = size(text, limits::ARENA_SIZE)?,
            "piece_length_max" => self.piece_length_max = size(text, limits::PIECE_LENGTH_MAX)?,
            "cache_size" => self.cache_size = auto(text, |text| size(text, limits::CACHE_SIZE))?,
            "io_mode" => self.io_mode = io_mode(text)?,
            "download_limit" => self.download_limit = limit(text, limits::RATE)?,
            "upload_limit" => self.upload_limit = limit(text, limits::RATE)?,
            "internet_download_limit" => self.internet_download_limit = limit(text, limits::RATE)?,
            "internet_upload_limit" => self.internet_upload_limit = limit(text, limits::RATE)?,
            "limits_count" => self.limits_count = limits_count(text)?,
            "choking" => self.choking = choking(text)?,
            "upload_slots" => self.upload_slots = upload_slots(text, limits::UPLOAD_SLOTS)?,
            "peers_max" => self.peers_max = count(text, limits::PEERS_MAX)?,
            "peers_per_address_max" => {
                self.peers_per_address_max = count(text, limits::PEERS_PER_ADDRESS_MAX)?;
            }
            "requests_per_peer_max" => {
                self.requests_per_peer_max = count(text, limits::REQUESTS_PER_PEER_MAX)?;
            }
            "handshake_timeout" => self.handshake_timeout = duration(text, limits::HANDSHAKE_TIMEOUT)?,
            "idle_timeout" => self.idle_timeout = duration(text, limits::IDLE_TIMEOUT)?,
            "send_stall_timeout" => self.send_stall_timeout = duration(text, limits::SEND_STALL_TIMEOUT)?,
            "files_open_max" => self.files_open_max = count(text, limits::FILES_OPEN_MAX)?,
            "hashing_threads" => {
                self.hashing_threads = auto(text, |text| count(text, limits::HASHING_THREADS))?;
            }
            "hashing_memory" => self.hashing_memory = size(text, limits::HASHING_MEMORY)?,
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// Every setting with its value as [`Config::set`] would read it, in the order of `config.yaml`.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        use crate::units::{exact_duration, exact_size};
        vec![
            ("listen", self.listen.to_string()),
            (
                "cores",
                self.cores.clone().map(|cores| write_cores(&cores)).to_string(),
            ),
            ("arena_size", exact_size(self.arena_size)),
            ("piece_length_max", exact_size(self.piece_length_max)),
            ("cache_size", self.cache_size.clone().map(exact_size).to_string()),
            ("io_mode", value::write_io_mode(self.io_mode).to_owned()),
            ("download_limit", self.download_limit.to_string()),
            ("upload_limit", self.upload_limit.to_string()),
            (
                "internet_download_limit",
                self.internet_download_limit.to_string(),
            ),
            ("internet_upload_limit", self.internet_upload_limit.to_string()),
            ("limits_count", self.limits_count.to_string()),
            ("upload_slots", self.upload_slots.to_string()),
            ("choking", value::write_choking(self.choking).to_owned()),
            ("peers_max", self.peers_max.to_string()),
            ("peers_per_address_max", self.peers_per_address_max.to_string()),
            ("requests_per_peer_max", self.requests_per_peer_max.to_string()),
            ("handshake_timeout", exact_duration(self.handshake_timeout)),
            ("idle_timeout", exact_duration(self.idle_timeout)),
            ("send_stall_timeout", exact_duration(self.send_stall_timeout)),
            ("files_open_max", self.files_open_max.to_string()),
            ("hashing_threads", self.hashing_threads.to_string()),
            ("hashing_memory", exact_size(self.hashing_memory)),
        ]
    }

    /// The text of a configuration file that says the same, a setting to a line, in the order of `config.yaml`.
    #[must_use]
    pub fn file_text(&self) -> String {
        let line = |(name, value): (&str, String)| {
            // In YAML a bracket begins a list, and so would the address of an IPv6 listener.
            let quote = if value.starts_with('[') { "'" } else { "" };
            format!("{name}: {quote}{value}{quote}\n")
        };
        self.entries().into_iter().map(line).collect()
    }

    /// The setting whose name differs least from `name`, if it could be a slip of the fingers.
    fn nearest(&self, name: &str) -> Option<&'static str> {
        /// Two slips, or one word of the name forgotten or added, are recognised; more would be guessing.
        const SLIPS_MAX: usize = 2;
        let slips = |known: &str| match known.contains(name) || name.contains(known) {
            true if name.len() >= 4 => 1,
            _ => problem::edit_distance(name, known),
        };
        let (distance, known) = self
            .entries()
            .into_iter()
            .map(|(known, _)| (slips(known), known))
            .min()?;
        (distance <= SLIPS_MAX).then_some(known)
    }
}

#[cfg(test)]
mod tests;
