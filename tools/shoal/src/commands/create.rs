//! `shoal create`.

use crate::args::Create as Arguments;
use crate::commands::show::{figures, torrent_json};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use shoal::config::Config;
use shoal::create::{CreateError, Created, Details, Hidden, Plan, Stored, Tree, store};
use shoal::printable::PrintablePath;
use shoal::torrent_file;
use shoal_proto::metainfo::Metainfo;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit, Failure> {
    let details = Details {
        piece_length: arguments.piece_length,
        trackers: arguments.trackers.clone(),
        web_seeds: arguments.web_seeds.clone(),
        private: arguments.private,
        comment: arguments.comment.clone(),
        creation_date_s: if arguments.no_date {
            None
        } else {
            Some(creation_date_s()?)
        },
    };
    let hidden = if arguments.skip_hidden {
        Hidden::LeaveOut
    } else {
        Hidden::Take
    };
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None => default_output(&arguments.path)?,
    };
    let tree = Tree::walk(&arguments.path, hidden, &output)?;
    let bar = Bar::hashing(&tree);
    let watch = |bytes| {
        bar.at(bytes);
        ControlFlow::Continue(())
    };
    let (created, stored) = make(tree, details, &output, &Config::default(), &watch)?;
    drop(bar);
    report(&created.built.metainfo, &output, stored, json)
}

/// Makes the torrent of a tree and writes it. A file in its place that cannot become the same torrent is found before
/// the time for hashing is spent.
pub(super) fn make(
    tree: Tree,
    details: Details,
    output: &Path,
    config: &Config,
    watch: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<(Created, Stored), CreateError> {
    let is_same_tree = |existing: Metainfo| tree.is_described_by(&existing);
    if output.symlink_metadata().is_ok() && !torrent_file::read(output).is_ok_and(is_same_tree) {
        return Err(CreateError::Exists {
            path: output.to_owned(),
        });
    }
    let created = Plan::new(tree, details)?.hash(&config.scan_options(), watch)?;
    let stored = store(output, &created.built)?;
    Ok((created, stored))
}

/// `NAME.torrent` in the current folder, as other tools do.
fn default_output(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.file_name().map(ToOwned::to_owned);
    let resolved = || path.canonicalize().ok()?.file_name().map(ToOwned::to_owned);
    let mut name = name.or_else(resolved).ok_or_else(|| CreateError::NoName {
        path: path.to_owned(),
    })?;
    name.push(".torrent");
    Ok(PathBuf::from(name))
}

/// Now, or what SOURCE_DATE_EPOCH says: <https://reproducible-builds.org/specs/source-date-epoch/>.
pub(super) fn creation_date_s() -> Result<u64, Failure> {
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failure::bad_input("SOURCE_DATE_EPOCH: not a number of seconds since 1970")),
        // A clock before 1970 is no clock; the date is then the oldest there is.
        None => Ok(SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.as_secs())),
    }
}

/// What `shoal show` says of it, and what became of the file.
fn report(metainfo: &Metainfo, output: &Path, stored: Stored, json: bool) -> Result<Exit, Failure> {
    if json {
        let mut result = torrent_json(metainfo);
        result["file"] = output.to_string_lossy().into();
        result["written"] = (stored == Stored::Written).into();
        output::json(&result)?;
        return Ok(Exit::Done);
    }
    let kept = match stored {
        Stored::Written => "",
        Stored::Kept => " (was there already)",
    };
    let mut rows = vec![("torrent", format!("{}{kept}", PrintablePath(output)))];
    rows.extend(figures(metainfo));
    output::table(&rows)?;
    Ok(Exit::Done)
}
