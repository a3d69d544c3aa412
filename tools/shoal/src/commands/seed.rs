//! `shoal seed`.

use crate::args::Seed as Arguments;
use crate::commands::check::{require_folder, summary};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::serve::Serving;
use crate::settings;
use shoal::check::{Cancelled, FileState, Findings};
use shoal::config::Config;
use shoal::printable::{Printable, PrintablePath};
use shoal::session::{AddError, Seeding};
use shoal::torrent_file;
use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::{File, FileKind, Metainfo};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let config = settings::config(&arguments.settings)?;
    let torrents = torrents(&arguments.files)?;
    require_folder(&arguments.data)?;
    let serving = Serving::start(&config, json)?;
    let Ok(refusals) = add_all(&serving, &torrents, arguments, &config) else {
        return serving.stop();
    };
    if refusals.len() == torrents.len() {
        serving.stop()?;
        return Err(Failure::bad_input(refusals.join("\n")));
    }
    refusals.iter().for_each(output::diagnostic);
    serving.run()
}

/// All torrents, or the first that cannot be read: a file that is not a torrent is a slip of the fingers.
fn torrents(files: &[PathBuf]) -> Result<Vec<Arc<Metainfo>>, Failure> {
    let read = |file: &PathBuf| Ok(Arc::new(torrent_file::read(file)?));
    files.iter().map(read).collect()
}

/// Adds what can be served; returns a sentence for each torrent that cannot.
fn add_all(
    serving: &Serving,
    torrents: &[Arc<Metainfo>],
    arguments: &Arguments,
    config: &Config,
) -> Result<Vec<String>, Cancelled> {
    let mut refusals = Vec::new();
    for metainfo in torrents {
        let seeding = if arguments.trust {
            trusted(metainfo, &arguments.data)
        } else {
            checked(
                serving.check(metainfo, &arguments.data, config)?,
                metainfo,
                &arguments.data,
            )
        };
        let added = seeding.and_then(|seeding| {
            add(serving, seeding, arguments.super_seed)
                .map_err(|error| format!("{}: {error}", Printable(metainfo.name())))
        });
        refusals.extend(added.err());
    }
    Ok(refusals)
}

fn add(serving: &Serving, seeding: Seeding, super_seed: bool) -> Result<(), AddError> {
    let torrent = serving.session.add(seeding)?;
    if super_seed {
        torrent.set_super_seeding(true)?;
    }
    Ok(())
}

/// A torrent whose owner vouches for the data. What is plainly not there is refused all the same.
fn trusted(metainfo: &Arc<Metainfo>, data: &Path) -> Result<Seeding, String> {
    for file in metainfo.files() {
        let path = data.join(file.path.as_path());
        let holds_data = matches!(file.kind, FileKind::Regular(_)) && file.len > 0;
        if holds_data && !is_long_enough(&path, file) {
            return Err(format!(
                "{}: missing or shorter than {} says; without --trust what is right is served",
                PrintablePath(&path),
                Printable(metainfo.name())
            ));
        }
    }
    Ok(Seeding {
        metainfo: Arc::clone(metainfo),
        data: data.to_owned(),
        have: Bitfield::all(metainfo.layout().pieces()),
        stamps: vec![None; metainfo.files().len()],
    })
}

fn is_long_enough(path: &Path, file: &File) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() >= file.len)
}

/// A torrent with what was found to be right, which must be something.
fn checked(findings: Findings, metainfo: &Arc<Metainfo>, data: &Path) -> Result<Seeding, String> {
    let name = Printable(metainfo.name());
    let folder = PrintablePath(data);
    if findings.have.is_none() {
        let is_missing = |state| matches!(state, FileState::Missing | FileState::WithoutData);
        return Err(if findings.files.iter().all(|file| is_missing(file.state)) {
            format!("{name}: nothing of it is in {folder}; --data is the folder in which {name} lies")
        } else {
            format!(
                "{name}: none of its {} pieces is right in {folder}",
                findings.have.pieces()
            )
        });
    }
    if !findings.is_complete() {
        output::diagnostic(format!(
            "{}; what is right is served",
            summary(metainfo, &findings)
        ));
    }
    Ok(Seeding {
        metainfo: Arc::clone(metainfo),
        data: data.to_owned(),
        stamps: findings.stamps(),
        have: findings.have,
    })
}
