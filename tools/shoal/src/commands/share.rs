//! `shoal share`: create and seed in one step.

use crate::args::Share as Arguments;
use crate::commands::create::{creation_date_s, make};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use crate::serve::Serving;
use crate::settings;
use serde_json::json;
use shoal::config::Config;
use shoal::create::{CreateError, Details, Hidden, Stored, Tree};
use shoal::printable::PrintablePath;
use shoal::session::Seeding;
use shoal::torrent_file;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::magnet::{Magnet, PeerAddress};
use shoal_proto::metainfo::Metainfo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An address that is nobody's (RFC 5737), so the default route leads there.
const DOCUMENTATION_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The same (RFC 3849).
const DOCUMENTATION_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let config = settings::config(&arguments.settings)?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| default_output(&arguments.path));
    let tree = Tree::walk(&arguments.path, Hidden::Take, &output)?;
    let serving = Serving::start(&config, json)?;
    let Some((seeding, stored)) = seeding(&serving, tree, &output, &config)? else {
        return serving.stop();
    };
    let metainfo = Arc::clone(&seeding.metainfo);
    serving.session.add(seeding).map_err(Failure::bad_input)?;
    tell(&metainfo, serving.session.local_addr(), &output, stored, json)?;
    serving.run()
}

/// PATH.torrent, beside PATH.
fn default_output(path: &Path) -> PathBuf {
    let path = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".torrent");
    path.with_file_name(name)
}

/// The torrent that is there, or a new one; nothing when a stop was requested meanwhile.
fn seeding(
    serving: &Serving,
    tree: Tree,
    output: &Path,
    config: &Config,
) -> Result<Option<(Seeding, Stored)>, Failure> {
    let data = tree.parent.clone();
    let existing = torrent_file::read(output)
        .ok()
        .filter(|existing| tree.is_described_by(existing));
    if let Some(metainfo) = existing {
        let Ok(findings) = serving.check(&metainfo, &data, config) else {
            return Ok(None);
        };
        if !findings.is_complete() {
            return Err(CreateError::Exists {
                path: output.to_owned(),
            }
            .into());
        }
        let (have, stamps) = (findings.have.clone(), findings.stamps());
        let metainfo = Arc::new(metainfo);
        return Ok(Some((
            Seeding {
                metainfo,
                data,
                have,
                stamps,
            },
            Stored::Kept,
        )));
    }
    let details = Details {
        creation_date_s: Some(creation_date_s()?),
        ..Details::default()
    };
    let bar = Bar::hashing(&tree);
    let (created, stored) = match make(tree, details, output, config, &serving.watch(&bar)) {
        Err(CreateError::Cancelled(_)) => return Ok(None),
        made => made?,
    };
    let metainfo = Arc::new(created.built.metainfo);
    let have = Bitfield::all(metainfo.layout().pieces());
    let stamps = created.stamps;
    Ok(Some((
        Seeding {
            metainfo,
            data,
            have,
            stamps,
        },
        stored,
    )))
}

fn tell(
    metainfo: &Metainfo,
    listen: SocketAddr,
    output: &Path,
    stored: Stored,
    json: bool,
) -> Result<(), Failure> {
    let mut magnet = Magnet::from(metainfo);
    magnet.peers.extend(reachable_address(listen));
    if json {
        return output::json(&json!({
            "event": "shared",
            "file": output.to_string_lossy(),
            "written": stored == Stored::Written,
            "info_hash": metainfo.info_hash().to_string(),
            "magnet": magnet.to_string(),
        }));
    }
    let what = match stored {
        Stored::Written => "written",
        Stored::Kept => "was there already and is used again",
    };
    output::diagnostic(format!("{}: {what}", PrintablePath(output)));
    output::line(magnet)
}

/// Where others may reach an address that is listened on. One that stands for all addresses of the machine becomes the
/// one that it would use to reach the internet, which the routing table tells without a packet being sent.
fn reachable_address(listen: SocketAddr) -> Option<PeerAddress> {
    let host = if listen.ip().is_unspecified() {
        let ipv4 = outgoing_address(Ipv4Addr::UNSPECIFIED.into(), DOCUMENTATION_IPV4.into());
        let ipv6 = || outgoing_address(Ipv6Addr::UNSPECIFIED.into(), DOCUMENTATION_IPV6.into());
        ipv4.or_else(|| if listen.is_ipv6() { ipv6() } else { None })?
    } else {
        listen.ip()
    };
    Some(PeerAddress {
        host: host.to_string(),
        port: listen.port(),
    })
}

/// The machine's address on the way to another. Connecting a datagram socket looks up the route and sends nothing.
fn outgoing_address(any: IpAddr, other: IpAddr) -> Option<IpAddr> {
    /// Discard (RFC 863); no packet goes there.
    const PORT: u16 = 9;
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, PORT)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
