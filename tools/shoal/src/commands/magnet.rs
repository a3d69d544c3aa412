//! `shoal magnet`.

use crate::args::Magnet as Arguments;
use crate::failure::{Exit, Failure};
use crate::output;
use serde_json::json;
use shoal::torrent_file;
use shoal_proto::magnet::Magnet;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let metainfo = torrent_file::read(&arguments.file)?;
    let magnet = Magnet::from(&metainfo).to_string();
    if json {
        let info_hash = metainfo.info_hash().to_string();
        output::json(&json!({ "magnet": magnet, "info_hash": info_hash, "name": metainfo.name() }))?;
    } else {
        output::line(magnet)?;
    }
    Ok(Exit::Done)
}
