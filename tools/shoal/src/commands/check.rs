//! `shoal check`.

use crate::args::Check as Arguments;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use serde_json::{Value, json};
use shoal::check::{FileState, Findings, check};
use shoal::config::Config;
use shoal::printable::{Printable, RefusalText};
use shoal::torrent_file;
use shoal::units::rounded_size;
use shoal_proto::metainfo::{File, Metainfo};
use std::ops::ControlFlow;
use std::path::Path;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let metainfo = torrent_file::read(&arguments.file)?;
    require_folder(&arguments.data)?;
    let findings = check_with_bar(&metainfo, &arguments.data);
    if json {
        output::json(&findings_json(&metainfo, &findings))?;
    } else {
        output::bytes(report(&metainfo, &findings).as_bytes())?;
    }
    Ok(if findings.is_complete() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// A folder for data that is not there is a slip of the fingers, not data that is missing.
pub(super) fn require_folder(data: &Path) -> Result<(), Failure> {
    match data.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::bad_file(
            data,
            "not a folder; --data is where the data of the torrent lies",
        )),
        Err(error) => Err(Failure::bad_file(data, format!("cannot be read: {error}"))),
    }
}

fn check_with_bar(metainfo: &Metainfo, data: &Path) -> Findings {
    let bar = Bar::checking(metainfo);
    let watch = |bytes| {
        bar.at(bytes);
        ControlFlow::Continue(())
    };
    check(metainfo, data, &Config::default().scan_options(), &watch).expect("the watcher never breaks off")
}

fn report(metainfo: &Metainfo, findings: &Findings) -> String {
    let mut text = format!("{}\n", summary(metainfo, findings));
    for (file, finding) in metainfo.files().iter().zip(&findings.files) {
        if let Some(what) = in_words(finding.state) {
            text.push_str(&format!("  {}: {what}\n", Printable(file.path.as_str())));
        }
    }
    text
}

/// One line: how much is there and right.
pub(super) fn summary(metainfo: &Metainfo, findings: &Findings) -> String {
    let name = Printable(metainfo.name());
    let pieces = findings.have.pieces();
    if findings.is_complete() {
        let size = rounded_size(metainfo.layout().total_len());
        return format!("{name}: complete: {pieces} of {pieces} pieces are right, {size}");
    }
    let (right, wrong, missing) = (
        findings.have.count(),
        findings.pieces_wrong,
        findings.pieces_missing(),
    );
    format!("{name}: incomplete: of {pieces} pieces {right} are right, {wrong} wrong and {missing} missing")
}

/// What is wrong with a file, if something is.
fn in_words(state: FileState) -> Option<String> {
    Some(match state {
        FileState::Right | FileState::WithoutData => return None,
        FileState::Wrong { pieces } => format!("{pieces} of its pieces are wrong"),
        FileState::Undecided { pieces } => {
            format!("{pieces} of its pieces also need files that are missing")
        }
        FileState::Missing => "missing".to_owned(),
        FileState::Short { len } => format!("short: only {len} bytes"),
        FileState::Refused(refusal) => format!("cannot be read: {}", RefusalText(refusal)),
        FileState::Changed => "changed while it was read".to_owned(),
    })
}

fn findings_json(metainfo: &Metainfo, findings: &Findings) -> Value {
    let layout = metainfo.layout();
    let verified_bytes: u64 = findings
        .have
        .present()
        .map(|piece| u64::from(layout.piece_len(piece)))
        .sum();
    let files = metainfo.files().iter().zip(&findings.files);
    json!({
        "info_hash": metainfo.info_hash().to_string(),
        "name": metainfo.name(),
        "complete": findings.is_complete(),
        "size_bytes": layout.total_len(),
        "verified_bytes": verified_bytes,
        "pieces": {
            "total": findings.have.pieces(),
            "verified": findings.have.count(),
            "wrong": findings.pieces_wrong,
            "missing": findings.pieces_missing(),
        },
        "bitfield": bitfield_hex(findings),
        "files": files.map(|(file, finding)| file_json(file, finding.state)).collect::<Vec<_>>(),
    })
}

/// The verified pieces as a bitfield message has them (BEP 3), in hexadecimal digits.
fn bitfield_hex(findings: &Findings) -> String {
    let mut bytes = Vec::new();
    findings.have.write_wire(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_json(file: &File, state: FileState) -> Value {
    let name = match state {
        FileState::Right => "right",
        FileState::WithoutData => "without_data",
        FileState::Wrong { .. } => "wrong",
        FileState::Undecided { .. } => "undecided",
        FileState::Missing => "missing",
        FileState::Short { .. } => "short",
        FileState::Refused(_) => "refused",
        FileState::Changed => "changed",
    };
    json!({
        "path": file.path.as_str(),
        "size_bytes": file.len,
        "state": name,
        "detail": in_words(state),
    })
}
