//! Fetches a torrent and reads a file of it from the middle while it comes, as a video player would.
//!
//!     cargo run -p shoal --example stream -- FILE.torrent OUT 192.0.2.1:6881
//!
//! The steps are those of every program that embeds the engine: start a session, say where a torrent is kept, begin it,
//! add it, use its handle. The reader waits for pieces that are not there yet, and has them fetched before all others.

use std::error::Error;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use shoal::config::Config;
use shoal::session::Session;
use shoal::state::Store;
use shoal::storage::{Place, Preallocation};
use shoal::torrent::{Fetching, Torrent, Wishes};
use shoal::torrent_file;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, out, peer] = arguments.as_slice() else {
        return Err("usage: stream FILE.torrent OUT ADDR:PORT".into());
    };
    let mut config = Config::default();
    // Any free port: somebody may be seeding on the usual one.
    config.listen.set_port(0);
    let session = Session::start(&config)?;
    let torrent = session.add(begin(&config, Path::new(file), Path::new(out), peer.parse()?)?)?;
    read_from_the_middle(&torrent)?;
    // Everything else follows; a program with more to do would look at `torrent.events()` now and then.
    let complete = torrent.wait(None);
    session.stop();
    println!("{}", if complete { "complete" } else { "failed" });
    Ok(())
}

/// Makes the files, and finds out what is there from an earlier run.
fn begin(config: &Config, file: &Path, out: &Path, peer: SocketAddr) -> Result<Fetching, Box<dyn Error>> {
    let metainfo = Arc::new(torrent_file::read(file)?);
    std::fs::create_dir_all(out)?;
    // One state may hold any number of torrents.
    let store = Arc::new(Store::open(&out.join("stream.state"))?);
    let place = Place {
        root: out.to_owned(),
        part_suffix: false,
        preallocation: Preallocation::Sparse,
        data_expected: false,
    };
    let watch = |_bytes_hashed| ControlFlow::Continue(());
    let wishes = Wishes::default();
    let mut fetching = Fetching::begin(metainfo, place, wishes, store, &config.scan_options(), &watch)?;
    fetching.peers.push(peer);
    Ok(fetching)
}

/// Reads the second half of the longest file, and tells how long its first byte took.
fn read_from_the_middle(torrent: &Torrent) -> Result<(), Box<dyn Error>> {
    let metainfo = torrent.metainfo();
    let files = metainfo.layout().files();
    let (longest, extent) = files
        .max_by_key(|(_, extent)| extent.len)
        .ok_or("it has no files")?;
    let mut reader = torrent.reader(longest)?;
    reader.seek(SeekFrom::Start(extent.len / 2))?;
    let began = Instant::now();
    let mut first = [0; 1];
    reader.read_exact(&mut first)?;
    let (there, pieces) = (torrent.have().count(), metainfo.layout().pieces());
    println!(
        "the first byte came after {:?}, with {there} of {pieces} pieces there",
        began.elapsed()
    );
    let rest = std::io::copy(&mut reader, &mut std::io::sink())?;
    println!(
        "read {} bytes of {} from the middle",
        rest + 1,
        metainfo.file(longest).path.as_str()
    );
    Ok(())
}
