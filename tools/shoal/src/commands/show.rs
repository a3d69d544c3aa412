//! `shoal show`: all that a torrent file or magnet link says.

use crate::args::Show as Arguments;
use crate::failure::{Exit, Failure};
use crate::output;
use serde_json::{Value, json};
use shoal::printable::Printable;
use shoal::torrent_file;
use shoal::units::{exact_size, rounded_size, utc_time};
use shoal_proto::magnet::Magnet;
use shoal_proto::metainfo::{File, FileKind, Metainfo};
use std::path::Path;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let is_magnet = arguments
        .source
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
    if is_magnet {
        show_magnet(&arguments.source.parse().map_err(Failure::bad_input)?, json)?;
    } else {
        let metainfo = torrent_file::read(Path::new(&arguments.source))?;
        show_torrent(&metainfo, json)?;
        for caution in metainfo.cautions() {
            output::diagnostic(format!("{}: {caution}", Printable(&arguments.source)));
        }
    }
    Ok(Exit::Done)
}

fn show_magnet(magnet: &Magnet, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&magnet_json(magnet));
    }
    output::table(&magnet_rows(magnet))
}

fn show_torrent(metainfo: &Metainfo, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&torrent_json(metainfo));
    }
    output::table(&torrent_rows(metainfo))?;
    let rows: Vec<(String, &str)> = metainfo.files().iter().map(file_row).collect();
    let width = rows.iter().map(|(size, _)| size.len()).max().unwrap_or(0);
    let lines: String = rows
        .iter()
        .map(|(size, path)| format!("  {size:>width$}  {}\n", Printable(path)))
        .collect();
    output::bytes(format!("files\n{lines}").as_bytes())
}

fn torrent_rows(metainfo: &Metainfo) -> Vec<(&'static str, String)> {
    let mut rows = vec![("name", Printable(metainfo.name()).to_string())];
    rows.extend(figures(metainfo));
    if metainfo.is_private() {
        rows.push(("private", "yes: peers come from the trackers only".to_owned()));
    }
    for tier in metainfo.trackers() {
        rows.push(("tracker", tier.join(" ")));
    }
    for address in metainfo.web_seeds() {
        rows.push(("web seed", address.clone()));
    }
    let texts = [
        ("source", metainfo.source()),
        ("comment", metainfo.comment()),
        ("created by", metainfo.created_by()),
    ];
    for (name, text) in texts {
        rows.extend(text.map(|text| (name, Printable(text).to_string())));
    }
    rows.extend(metainfo.creation_date_s().map(|date| ("created", utc_time(date))));
    rows.push(("magnet", Magnet::from(metainfo).to_string()));
    rows
}

/// What is worth knowing of every torrent: its hash and how large it is.
pub(super) fn figures(metainfo: &Metainfo) -> [(&'static str, String); 3] {
    let layout = metainfo.layout();
    let size = rounded_size(layout.total_len());
    let size = match metainfo.files().len() {
        1 => format!("{size} in 1 file"),
        count => format!("{size} in {count} files"),
    };
    let piece_length = exact_size(u64::from(layout.piece_length()));
    [
        ("info-hash", metainfo.info_hash().to_string()),
        ("size", size),
        ("pieces", format!("{} of {piece_length}", layout.pieces())),
    ]
}

fn file_row(file: &File) -> (String, &str) {
    let size = match file.kind {
        FileKind::Regular(_) => rounded_size(file.len),
        FileKind::Padding => format!("{} of padding", rounded_size(file.len)),
        FileKind::Symlink { .. } => "link".to_owned(),
    };
    (size, file.path.as_str())
}

pub(super) fn torrent_json(metainfo: &Metainfo) -> Value {
    let layout = metainfo.layout();
    let cautions: Vec<String> = metainfo.cautions().iter().map(ToString::to_string).collect();
    json!({
        "info_hash": metainfo.info_hash().to_string(),
        "name": metainfo.name(),
        "size_bytes": layout.total_len(),
        "piece_length": layout.piece_length(),
        "pieces": layout.pieces(),
        "private": metainfo.is_private(),
        "trackers": metainfo.trackers(),
        "web_seeds": metainfo.web_seeds(),
        "source": metainfo.source(),
        "comment": metainfo.comment(),
        "created_by": metainfo.created_by(),
        "creation_date": metainfo.creation_date_s(),
        "magnet": Magnet::from(metainfo).to_string(),
        "cautions": cautions,
        "files": metainfo.files().iter().map(file_json).collect::<Vec<_>>(),
    })
}

fn file_json(file: &File) -> Value {
    let (kind, executable, target) = match &file.kind {
        FileKind::Regular(attributes) => ("file", attributes.executable, None),
        FileKind::Padding => ("padding", false, None),
        FileKind::Symlink { target } => ("link", false, Some(target.as_str())),
    };
    json!({
        "path": file.path.as_str(),
        "size_bytes": file.len,
        "kind": kind,
        "executable": executable,
        "target": target,
    })
}

fn magnet_rows(magnet: &Magnet) -> Vec<(&'static str, String)> {
    let mut rows = vec![("info-hash", magnet.info_hash.to_string())];
    rows.extend(magnet.hybrid.map(|hash| ("version 2", hash.to_string())));
    rows.extend(
        magnet
            .name
            .iter()
            .map(|name| ("name", Printable(name).to_string())),
    );
    rows.extend(magnet.trackers.iter().map(|address| ("tracker", address.clone())));
    rows.extend(
        magnet
            .web_seeds
            .iter()
            .map(|address| ("web seed", address.clone())),
    );
    rows.extend(magnet.peers.iter().map(|peer| ("peer", peer.to_string())));
    if !magnet.selected.is_empty() {
        let ranges = magnet
            .selected
            .iter()
            .map(|files| format!("{}-{}", files.start(), files.end()));
        rows.push(("files", ranges.collect::<Vec<_>>().join(",")));
    }
    rows
}

fn magnet_json(magnet: &Magnet) -> Value {
    let selected = magnet
        .selected
        .iter()
        .map(|files| json!([files.start(), files.end()]));
    json!({
        "info_hash": magnet.info_hash.to_string(),
        "info_hash_v2": magnet.hybrid.map(|hash| hash.to_string()),
        "name": magnet.name,
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "peers": magnet.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "selected_files": selected.collect::<Vec<_>>(),
    })
}
