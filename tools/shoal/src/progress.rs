//! What moves on a terminal while a command works: a bar with rate and remaining time, a status line.
//!
//! Everything goes to stderr and only if that is a terminal; otherwise drawing does nothing. NO_COLOR is honoured.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal::create::Tree;
use shoal::printable::Printable;
use shoal_proto::metainfo::Metainfo;

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

    fn new(doing: &str, name: &str, total_bytes: u64) -> Bar {
        let template = "{msg} [{wide_bar:.cyan}] {percent:>3}%  {binary_bytes_per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(
            Some(total_bytes),
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S),
        );
        Bar(bar
            .with_style(style)
            .with_message(format!("{doing} {}", shortened(name))))
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

/// The beginning of a name, so that a bar fits beside it.
fn shortened(name: &str) -> String {
    /// Half of the narrowest usual terminal, less what stands around.
    const CHARS_MAX: usize = 30;
    let name = Printable(name).to_string();
    match name.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// One line that is written again and again. It disappears when dropped.
#[derive(Debug)]
pub(crate) struct StatusLine(ProgressBar);

impl StatusLine {
    pub(crate) fn new() -> StatusLine {
        let style = ProgressStyle::with_template("{wide_msg}").expect("the template is a constant");
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S));
        StatusLine(line.with_style(style))
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
