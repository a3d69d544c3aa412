//! The command line as data: every command, its options, its help.
//!
//! Nothing is decided here and nothing is opened; values that the engine also takes from its configuration file stay
//! text, so that one reader with one sentence serves both.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use shoal::units;
use std::path::PathBuf;

/// Shown by `shoal --help`; scripts rely on it.
const EXIT_CODES: &str = "\
Exit codes:
  0  done; for check and download: every piece is there and right
  1  check: pieces are missing or wrong; download: stopped before the end
  2  bad input: arguments, files, configuration; nothing was written
  3  this machine refuses: io_uring, an address in use, no room to write

Results go to stdout, diagnostics and progress to stderr. Progress is shown
on a terminal only; NO_COLOR turns colours off. Every command takes --json.";

/// BitTorrent at the speed of the machine: make, look at, check, serve and fetch torrents.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Write the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a torrent of a file or folder
    Create(Create),
    /// Show what a torrent file or magnet link says
    Show(Show),
    /// Print the magnet link of a torrent file
    Magnet(Magnet),
    /// Check data against a torrent
    Check(Check),
    /// Serve torrents until stopped
    Seed(Seed),
    /// Make a torrent of a file or folder and serve it, in one step
    Share(Share),
    /// Fetch a torrent; called again, go on where it stopped
    Download(Download),
    /// Check or show the configuration
    Config(Config),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  shoal completions bash > /etc/bash_completion.d/shoal")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Examples:\n  shoal man | man -l -\n  shoal man seed > shoal-seed.1")]
    Man {
        /// Of one command instead of the whole
        command: Option<String>,
    },
}

const CREATE_HELP: &str = "\
What becomes part of the torrent:
  Files stand in the order of the bytes of their paths, as with mktorrent, so
  the same folder and piece length give the same info-hash. Hidden files
  (names with a leading dot) are taken like all others, unless --skip-hidden
  is given. Empty files are kept, empty folders are not. Symbolic links are
  followed. A file that changes while it is read is an error.

The torrent is written in one step: there is never half a file. One that is
there already is kept if it is the same torrent; anything else in its place
is left alone with an error (exit 2).

SOURCE_DATE_EPOCH sets the creation date, so that torrents can be made again
byte by byte.

Examples:
  shoal create holiday/ --tracker https://tracker.example/announce
  shoal create debian.iso -o /srv/torrents/debian.torrent --piece-length 1MiB
  shoal create dataset/ --comment 'release 7' --skip-hidden --json";

#[derive(Debug, Args)]
#[command(args_override_self = true, after_help = CREATE_HELP)]
pub(crate) struct Create {
    /// File or folder to make the torrent of
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,

    /// Where to write the torrent [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Bytes in a piece, a power of two from 16KiB to 256MiB [default: the shortest that needs at most 2048 pieces, up
    /// to 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = piece_length)]
    pub(crate) piece_length: Option<u32>,

    /// Tracker to announce to; several are tried in the order given
    #[arg(long = "tracker", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) trackers: Vec<String>,

    /// Web server with the same data (BEP 19); may be given several times
    #[arg(long = "web-seed", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) web_seeds: Vec<String>,

    /// Only peers from the trackers may be used (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,

    /// Text for people, kept in the torrent
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,

    /// Leave hidden files and folders out
    #[arg(long)]
    pub(crate) skip_hidden: bool,

    /// Leave the creation date out
    #[arg(long)]
    pub(crate) no_date: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal show debian.torrent
  shoal show 'magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&dn=debian'
  shoal show debian.torrent --json | jq -r .info_hash")]
pub(crate) struct Show {
    /// Torrent file or magnet link
    #[arg(value_name = "FILE|MAGNET", value_hint = ValueHint::FilePath)]
    pub(crate) source: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  shoal magnet debian.torrent")]
pub(crate) struct Magnet {
    /// Torrent file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
The data is looked for where every client puts it: DIR/NAME, where NAME is
the name in the torrent. Nothing is written.

Exit code 0: everything is there and right. 1: pieces are missing or wrong;
the files concerned are listed.

Examples:
  shoal check debian.torrent --data /srv/data
  shoal check debian.torrent --data /srv/data --json | jq .pieces.verified"
)]
pub(crate) struct Check {
    /// Torrent file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Folder in which the data of the torrent lies
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
The data is checked first. A torrent with some pieces missing or wrong is
served with those that are right; one without any is left out. The line
`ready ADDR:PORT` is printed once peers are served. A torrent whose files
change while it is served is stopped with the reason; the others go on.

--super-seed is for the first seed of a new torrent, while nobody else has
all of it: peers are told of one piece at a time and pass it on before they
are told of the next, so that everything is out after sending little more
than one copy. As soon as there are other seeds it only slows peers down.
Torrents that are not complete here are served as ever.

SIGINT or SIGTERM stops cleanly with exit code 0, a second one at once.

Examples:
  shoal seed debian.torrent --data /srv/data --listen 0.0.0.0:6881
  shoal seed new-release.torrent --data /srv/data --super-seed
  shoal seed *.torrent --data /srv/data --config /etc/shoal.yaml
  shoal seed big.torrent --data /srv/data --listen 127.0.0.1:0 --cores 0,1 --json"
)]
pub(crate) struct Seed {
    /// Torrent files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Folder in which the data of all these torrents lies
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: PathBuf,

    /// Do not check the data first: every piece is taken to be there and right
    #[arg(long)]
    pub(crate) trust: bool,

    /// Tell each peer of one piece at a time (BEP 16), as the first seed of a new torrent
    #[arg(long)]
    pub(crate) super_seed: bool,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
The torrent is written to PATH.torrent unless -o is given, with the rules of
`shoal create`. If it is there already and is that of PATH, it is used again.
The magnet link and `ready ADDR:PORT` are printed once peers are served.

SIGINT or SIGTERM stops cleanly with exit code 0, a second one at once.

Examples:
  shoal share holiday.mkv
  shoal share dataset/ --listen 0.0.0.0:51413 -o /srv/dataset.torrent"
)]
pub(crate) struct Share {
    /// File or folder to share
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,

    /// Where to write the torrent [default: PATH.torrent]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

const DOWNLOAD_HELP: &str = "\
Called again, it goes on where it was: what is finished is remembered in
DIR/.shoal-INFOHASH.state, and what changed since is checked. That file is
removed when all that is wanted is there; a later call checks the data
instead. Nothing that exists is truncated: a longer file in the place of one
of the torrent's is an error (exit 2).

--files takes paths as `shoal show` prints them, or patterns: * and ? stand
for any characters, [ab] for one of them, {a,b} for one of several. * also
stands for /, so '*.mkv' is every such file. Pieces are fetched whole, so the
ends of neighbouring files may come along.

With --move-to everything that is on disk, what --files left out included, is
moved to DIR2 once all that is wanted is complete and verified; with --seed it
is served from there. Within a file system that is a rename; to another one
each file is copied, made durable and only then removed here. If it is cut
off, or cannot be done (exit 3: no room, no permission, another file by a
name), nothing is lost, and the same command goes on with it. What DIR2 has
already is checked, stays there, and is not fetched again; a file there that
is not the torrent's is an error before anything is fetched (exit 2).

--super-seed is for whoever will be the first or only seed, such as the only
one to have it from its maker: see `shoal seed --help`. It takes all files, so
not --files. Peers that connected while it was fetched know what it has.

The line `ready ADDR:PORT` is printed once peers can connect. If port 6881
is taken and --listen was not given, any free one is used.

SIGINT or SIGTERM stops cleanly: exit 1 if something is missing or not moved
yet, 0 while it seeds. A file that was half copied to DIR2 is copied anew by
the same command. A second signal stops at once.

--json prints one event on each line, \"event\" being
  started      name, info_hash, out, size_bytes, pieces, pieces_have,
               bytes_done, bytes_wanted
  ready        address
  progress     once a second: state (fetching, waiting, paused), bytes_done,
               bytes_wanted, download_bytes_per_s, upload_bytes_per_s, peers
  paused       reason; it is tried again every few seconds
  resumed
  peer_banned  address; it sent wrong bytes
  warning      message
  moving       folder; with --move-to
  moved        folder; everything is in it
  finished     bytes_done, seconds
  stopped      always the last: complete (all is there, and moved),
               bytes_done, bytes_wanted, downloaded_bytes, uploaded_bytes

Examples:
  shoal download debian.torrent --out . --peer 192.0.2.1:6881
  shoal download series.torrent --out /srv --files '*/Season 1/*' --sequential
  shoal download film.torrent --out /tmp/incoming --move-to /srv/films --part
  shoal download big.torrent --out /srv --seed --json | jq -r .event";

#[derive(Debug, Args)]
#[command(args_override_self = true, after_help = DOWNLOAD_HELP)]
pub(crate) struct Download {
    /// Torrent file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Folder to write to; made if it is missing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,

    /// Address and port of a peer; may be given several times
    #[arg(long = "peer", value_name = "ADDR:PORT")]
    pub(crate) peers: Vec<String>,

    /// Fetch only files whose path matches; may be given several times [default: all]
    #[arg(long = "files", value_name = "GLOB")]
    pub(crate) globs: Vec<String>,

    /// Fetch pieces from the first to the last instead of the rarest first
    #[arg(long)]
    pub(crate) sequential: bool,

    /// Bytes to receive in a second at most, such as 10MiB or 10MiB/s [default: unlimited]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_down: Option<String>,

    /// Bytes to send in a second at most, likewise [default: unlimited]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_up: Option<String>,

    /// Serve it when it is complete, until stopped
    #[arg(long)]
    pub(crate) seed: bool,

    /// With --seed: once it is complete, tell each new peer of one piece at a time (BEP 16)
    #[arg(long, requires = "seed", conflicts_with = "globs")]
    pub(crate) super_seed: bool,

    /// How room is taken on the disk: all in advance, or as it is written
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Preallocate::Full)]
    pub(crate) preallocate: Preallocate,

    /// Name files NAME.part until everything is there
    #[arg(long)]
    pub(crate) part: bool,

    /// Folder to move everything to once it is complete, also on another file system; made if it is missing
    #[arg(long, value_name = "DIR2", value_hint = ValueHint::DirPath)]
    pub(crate) move_to: Option<PathBuf>,

    /// Folder for the file that remembers what is there [default: that of --out]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Where the bytes of files are before they are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preallocate {
    /// Room is taken as it is written
    Sparse,
    /// What does not fit is known before it is fetched
    Full,
}

/// Settings of the engine that have an option; those not given come from the configuration file or its defaults.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// Address and port to accept peers on; port 0 takes any free one [default: 0.0.0.0:6881]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,

    /// CPUs to run on, such as 0,1 or 0-3 [default: all]
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<String>,

    /// Peers of one torrent served at a time [default: unlimited]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<String>,

    /// Configuration file; the options above win over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
Examples:
  shoal config check /etc/shoal.yaml
  shoal config show
  shoal config show /etc/shoal.yaml --json"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report every mistake of a configuration file, each with its line and column
    #[command(after_help = "Example:\n  shoal config check /etc/shoal.yaml")]
    Check {
        /// Configuration file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print every setting as it would be used: the defaults, or a file over them
    #[command(after_help = "Examples:\n  shoal config show\n  shoal config show /etc/shoal.yaml")]
    Show {
        /// Configuration file
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

fn piece_length(text: &str) -> Result<u32, String> {
    units::parse_size(text)
        .filter(|length| shoal::create::PIECE_LENGTHS.contains(length) && length.is_power_of_two())
        .and_then(|length| u32::try_from(length).ok())
        .ok_or_else(|| "it is a power of two from 16KiB to 256MiB, such as 1MiB".to_owned())
}
