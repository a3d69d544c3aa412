//! What moves on a terminal while a command works: a bar with rate and remaining time, a status line.
//!
//! Everything goes to stderr and only if that is a terminal; otherwise drawing does nothing. NO_COLOR is honoured.

use console::{Term, truncate_str};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal::create::Tree;
use shoal::printable::Printable;
use shoal::units::rounded_size;
use shoal_proto::metainfo::Metainfo;
use std::time::Duration;

/// Redraws a second: often enough to look alive, too rare to cost anything.
const REDRAWS_PER_S: u8 = 10;

/// A bar for hashing a known number of bytes. It disappears when dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// For making a torrent of a tree.
    pub(crate) fn hashing(tree: &Tree) -> Bar {
        Bar::new("hashing", &tree.name, tree.total_len())
    }

    /// For checking the data of a torrent.
    pub(crate) fn checking(metainfo: &Metainfo) -> Bar {
        Bar::new("checking", metainfo.name(), metainfo.layout().total_len())
    }

    /// For finding out what of a torrent is there. How much of it must be read is not known before.
    pub(crate) fn looking(metainfo: &Metainfo) -> Bar {
        let bar = Bar::new(
            "checking what is there of",
            metainfo.name(),
            metainfo.layout().total_len(),
        );
        let template = "{binary_bytes} of at most {binary_total_bytes}  {binary_bytes_per_sec}  {wide_msg}";
        bar.0.set_style(style(template));
        bar
    }

    fn new(doing: &str, name: &str, total_bytes: u64) -> Bar {
        let template = "{msg} [{wide_bar:.cyan}] {percent:>3}%  {binary_bytes_per_sec}  {eta} left";
        let bar = ProgressBar::with_draw_target(
            Some(total_bytes),
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S),
        );
        Bar(bar
            .with_style(style(template))
            .with_message(format!("{doing} {}", shortened(name, NAME_COLUMNS_MAX))))
    }

    /// So many bytes are done.
    pub(crate) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What a fetch is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Blocks come.
    Moving {
        bytes_per_s: u64,
        peers: u32,
        /// How long it will take, if that can be said.
        left: Option<Duration>,
    },
    /// Nothing can come, for this reason.
    Standing(String),
}

/// A bar for fetching a torrent. Its line fits into any width: the bar goes first, then the end of the name.
#[derive(Debug)]
pub(crate) struct FetchBar {
    bar: ProgressBar,
    name: String,
}

impl FetchBar {
    pub(crate) fn new(name: &str, total_bytes: u64) -> FetchBar {
        let bar = ProgressBar::with_draw_target(
            Some(total_bytes),
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S),
        );
        FetchBar {
            bar,
            name: Printable(name).to_string(),
        }
    }

    /// So many bytes are there, and this is going on.
    pub(crate) fn show(&self, bytes: u64, activity: &Activity) {
        let (_, columns) = Term::stderr().size();
        let line = Line::of(&self.name, activity, usize::from(columns));
        self.bar.set_style(style(line.template));
        self.bar.set_prefix(line.name);
        self.bar.set_message(line.text);
        self.bar.set_position(bytes);
        self.bar.tick();
    }

    /// Writes something else to the terminal, above the line.
    pub(crate) fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }
}

impl Drop for FetchBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How the line of a fetch is put together.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    template: &'static str,
    name: String,
    text: String,
}

impl Line {
    /// A terminal of fewer columns has no room for a bar that says more than the percentage.
    const BAR_COLUMNS_MIN: usize = 72;

    fn of(name: &str, activity: &Activity, columns: usize) -> Line {
        let name = shortened(name, (columns / 4).clamp(8, NAME_COLUMNS_MAX));
        match activity {
            Activity::Standing(reason) => Line {
                template: "{prefix}  {percent:>3}%  {wide_msg}",
                name,
                text: Printable(reason).to_string(),
            },
            Activity::Moving { .. } if columns >= Line::BAR_COLUMNS_MIN => Line {
                template: "{prefix}  [{wide_bar:.cyan}] {percent:>3}%  {msg}",
                name,
                text: figures(activity),
            },
            Activity::Moving { .. } => Line {
                template: "{percent:>3}%  {wide_msg}",
                text: format!("{}  {name}", figures(activity)),
                name: String::new(),
            },
        }
    }
}

/// Rate, remaining time and peers. The rate keeps its width, so that what stands beside it does not jump.
fn figures(activity: &Activity) -> String {
    let Activity::Moving {
        bytes_per_s,
        peers,
        left,
    } = activity
    else {
        return String::new();
    };
    let rate = rounded_size(*bytes_per_s);
    let left = left.map_or("?".to_owned(), |left| format!("{:#}", HumanDuration(left)));
    let ending = if *peers == 1 { "" } else { "s" };
    format!("{rate:>8}/s  {left} left  {peers} peer{ending}")
}

/// Columns of a name at most: beside it, a bar in a terminal of 80 still has room.
const NAME_COLUMNS_MAX: usize = 30;

/// The beginning of a name, so that something fits beside it.
fn shortened(name: &str, columns: usize) -> String {
    truncate_str(&Printable(name).to_string(), columns, "…").into_owned()
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    style.progress_chars("=> ")
}

/// One line that is written again and again. It disappears when dropped.
#[derive(Debug)]
pub(crate) struct StatusLine(ProgressBar);

impl StatusLine {
    pub(crate) fn new() -> StatusLine {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S));
        StatusLine(line.with_style(style("{wide_msg}")))
    }

    /// Shows another text.
    pub(crate) fn show(&self, text: String) {
        self.0.set_message(text);
        self.0.tick();
    }

    /// Writes something else to the terminal, above the line.
    pub(crate) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests;
