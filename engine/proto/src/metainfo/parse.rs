//! From bencode to [`Metainfo`].

use std::borrow::Cow;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::collisions;
use super::error::{Context, MetainfoError, Place, Problem};
use super::path::TorrentPath;
use super::{Attributes, Caution, File, FileKind, Metainfo, PIECE_HASH_LEN};
use crate::bencode::{Dict, Value, decode};
use crate::info_hash::InfoHash;
use crate::layout::{FileLength, Layout, LayoutError};
use crate::limits::{METAINFO_LEN_MAX, TEXT_LEN_MAX, TRACKERS_MAX, WEB_SEEDS_MAX};
use crate::text::decoded;
use crate::url::{TRACKER_SCHEMES, WEB_SEED_SCHEMES, usable};

pub(super) fn parse(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    if bytes.len() > METAINFO_LEN_MAX {
        return Err(MetainfoError::TooLong { len: bytes.len() });
    }
    let document = decode(bytes)?;
    let torrent = document.root().dict().ok_or(MetainfoError::NotADictionary)?;
    let torrent = Entries::new(torrent, Context::Torrent);
    let info_value = torrent.required("info")?;
    let info_dict = info_value
        .dict()
        .ok_or_else(|| torrent.wrong_type("info", "a dictionary"))?;
    let info = Entries::new(info_dict, Context::Info);

    let is_version_2 = info.value("meta version").is_some();
    if is_version_2 && info.value("pieces").is_none() {
        return Err(MetainfoError::Version2Only);
    }
    let mut cautions = Vec::new();
    cautions.extend(document.disorder().map(|offset| Caution::Disorder { offset }));
    cautions.extend(is_version_2.then_some(Caution::Hybrid));

    let mut names = Names { not_utf8: None };
    let name = names.text(&info, NAME)?;
    let name = TorrentPath::new(&name).map_err(|problem| info.refuse("name", problem.into()))?;
    let files = files(&info, &name, &mut names)?;
    cautions.extend(names.not_utf8.map(|place| Caution::NotUtf8 { place }));
    let layout = layout(&info, &files)?;
    cautions.extend(collisions::check(&files, &layout)?);
    let hashes = piece_hashes(&info, &layout)?;
    let hashes_start = hashes.span().end - hashes_len(&layout) - info_value.span().start;

    Ok(Metainfo {
        info_hash: InfoHash::V1(Sha1::digest(info_value.raw()).into()),
        info: info_value.raw().into(),
        hashes: hashes_start..hashes_start + hashes_len(&layout),
        name: name.as_str().to_owned(),
        files: files.into(),
        layout: Arc::new(layout),
        private: info
            .value("private")
            .is_some_and(|private| private.integer() != Some(0)),
        source: info.text("source"),
        trackers: trackers(&torrent),
        web_seeds: web_seeds(&torrent),
        comment: torrent.text("comment.utf-8").or_else(|| torrent.text("comment")),
        created_by: torrent.text("created by"),
        creation_date_s: torrent
            .value("creation date")
            .and_then(Value::integer)
            .and_then(|date| date.try_into().ok()),
        cautions,
    })
}

/// The one file of the torrent, or all of them.
fn files(info: &Entries<'_>, name: &TorrentPath, names: &mut Names) -> Result<Vec<File>, MetainfoError> {
    let Some(list) = info.value("files") else {
        let kind = kind(info, name, names)?;
        let len = file_len(info, &kind)?;
        return Ok(vec![File {
            path: name.clone(),
            len,
            kind,
        }]);
    };
    if info.value("length").is_some() {
        return Err(info.refuse("files", Problem::Ambiguous));
    }
    let list = list.list().ok_or_else(|| info.wrong_type("files", "a list"))?;
    let files = list.iter().zip(0..).map(|(value, index)| {
        let dict = value.dict();
        let dict = dict.ok_or_else(|| info.wrong_type("files", "a list of dictionaries"))?;
        let entry = Entries::new(dict, Context::File(index));
        let kind = kind(&entry, name, names)?;
        let len = file_len(&entry, &kind)?;
        let path = match kind {
            FileKind::Padding => padding_path(name, len),
            _ => names.path(&entry, PATH, name)?,
        };
        Ok(File { path, len, kind })
    });
    files.collect()
}

/// What BEP 47 says about a file; in a torrent of one file the entry is `info` itself.
fn kind(entry: &Entries<'_>, name: &TorrentPath, names: &mut Names) -> Result<FileKind, MetainfoError> {
    let attributes = entry.value("attr").and_then(Value::bytes).unwrap_or_default();
    let has = |attribute| attributes.contains(&attribute);
    if has(b'p') {
        return Ok(FileKind::Padding);
    }
    if has(b'l') {
        let target = names.path(entry, SYMLINK_PATH, name)?;
        return Ok(FileKind::Symlink { target });
    }
    let attributes = Attributes {
        executable: has(b'x'),
        hidden: has(b'h'),
    };
    Ok(FileKind::Regular(attributes))
}

fn file_len(entry: &Entries<'_>, kind: &FileKind) -> Result<u64, MetainfoError> {
    let is_symlink = matches!(kind, FileKind::Symlink { .. });
    if is_symlink && entry.value("length").is_none() {
        return Ok(0);
    }
    let integer = entry.required("length")?.integer();
    let integer = integer.ok_or_else(|| entry.wrong_type("length", "an integer"))?;
    let len = u64::try_from(integer).map_err(|_| entry.refuse("length", Problem::NotALength { integer }))?;
    if is_symlink && len > 0 {
        return Err(entry.refuse("length", Problem::SymlinkLength));
    }
    Ok(len)
}

/// The path that BEP 47 recommends. What the torrent says is not looked at: it may be missing, and means
/// nothing.
fn padding_path(name: &TorrentPath, len: u64) -> TorrentPath {
    let path = name.join([".pad", &len.to_string()]);
    path.expect("a short path below a folder of one element breaks no rule")
}

fn layout(info: &Entries<'_>, files: &[File]) -> Result<Layout, MetainfoError> {
    let value = info.required("piece length")?;
    let length = value
        .integer()
        .ok_or_else(|| info.wrong_type("piece length", "an integer"))?;
    let piece_length = u32::try_from(length)
        .map_err(|_| info.refuse("piece length", Problem::NotALength { integer: length }))?;
    // Padding alone is no payload.
    if files
        .iter()
        .all(|file| file.len == 0 || file.kind == FileKind::Padding)
    {
        return Err(info.refuse(lengths_key(info), LayoutError::Empty.into()));
    }
    let lengths = files.iter().map(|file| FileLength {
        len: file.len,
        padding: file.kind == FileKind::Padding,
    });
    Layout::new(piece_length, lengths).map_err(|error| match error {
        LayoutError::PieceLength { .. } => info.refuse("piece length", error.into()),
        _ => info.refuse(lengths_key(info), error.into()),
    })
}

/// The key that holds the lengths of files.
fn lengths_key(info: &Entries<'_>) -> &'static str {
    if info.value("files").is_some() {
        "files"
    } else {
        "length"
    }
}

/// The value of `pieces`, of the right length.
fn piece_hashes<'a>(info: &Entries<'a>, layout: &Layout) -> Result<Value<'a>, MetainfoError> {
    let value = info.required("pieces")?;
    let len = value
        .bytes()
        .ok_or_else(|| info.wrong_type("pieces", "a string"))?
        .len();
    if !len.is_multiple_of(PIECE_HASH_LEN) {
        return Err(info.refuse("pieces", Problem::HashesCut { len }));
    }
    if len != hashes_len(layout) {
        let problem = Problem::HashesCount {
            found: len / PIECE_HASH_LEN,
            expected: layout.pieces(),
        };
        return Err(info.refuse("pieces", problem));
    }
    Ok(value)
}

fn hashes_len(layout: &Layout) -> usize {
    layout.pieces() as usize * PIECE_HASH_LEN
}

/// BEP 12: `announce` counts only where there is no usable `announce-list`. Doubles are left out.
fn trackers(torrent: &Entries<'_>) -> Vec<Vec<String>> {
    let mut known: Vec<String> = Vec::new();
    let mut tier = |addresses: &mut dyn Iterator<Item = Value<'_>>| {
        let mut tier = Vec::new();
        for url in addresses.filter_map(|value| usable(value.bytes()?, TRACKER_SCHEMES)) {
            if known.len() < TRACKERS_MAX && !known.contains(&url) {
                known.push(url.clone());
                tier.push(url);
            }
        }
        tier
    };
    let tiers = torrent.value("announce-list").and_then(Value::list);
    let lists = tiers
        .into_iter()
        .flat_map(|list| list.iter())
        .filter_map(Value::list);
    let mut trackers: Vec<Vec<String>> = lists.map(|list| tier(&mut list.iter())).collect();
    trackers.retain(|tier| !tier.is_empty());
    if trackers.is_empty() {
        trackers.push(tier(&mut torrent.value("announce").into_iter()));
        trackers.retain(|tier| !tier.is_empty());
    }
    trackers
}

/// BEP 19: one address, or a list of them.
fn web_seeds(torrent: &Entries<'_>) -> Vec<String> {
    let value = torrent.value("url-list");
    let list = value
        .and_then(Value::list)
        .into_iter()
        .flat_map(|list| list.iter());
    let addresses = value.into_iter().chain(list).filter_map(Value::bytes);
    let mut seeds: Vec<String> = Vec::new();
    for url in addresses.filter_map(|bytes| usable(bytes, WEB_SEED_SCHEMES)) {
        if seeds.len() < WEB_SEEDS_MAX && !seeds.contains(&url) {
            seeds.push(url);
        }
    }
    seeds
}

/// Every key that is read, ascending, in whatever dictionary.
const KEYS: [&str; 22] = [
    "announce",
    "announce-list",
    "attr",
    "comment",
    "comment.utf-8",
    "created by",
    "creation date",
    "files",
    "info",
    "length",
    "meta version",
    "name",
    "name.utf-8",
    "path",
    "path.utf-8",
    "piece length",
    "pieces",
    "private",
    "source",
    "symlink path",
    "symlink path.utf-8",
    "url-list",
];

/// A dictionary of a torrent file that knows where it stands. It is walked once for all keys: each walk scans
/// everything inside, and that can be ten megabytes.
struct Entries<'a> {
    values: [Option<Value<'a>>; KEYS.len()],
    context: Context,
}

impl<'a> Entries<'a> {
    fn new(dict: Dict<'a>, context: Context) -> Entries<'a> {
        let mut values = [None; KEYS.len()];
        for (key, value) in dict.entries() {
            if let Ok(known) = KEYS.binary_search_by(|known| known.as_bytes().cmp(key)) {
                values[known].get_or_insert(value);
            }
        }
        Entries { values, context }
    }

    fn value(&self, key: &str) -> Option<Value<'a>> {
        self.values[KEYS
            .binary_search(&key)
            .expect("a key that is read stands in the list")]
    }

    fn required(&self, key: &'static str) -> Result<Value<'a>, MetainfoError> {
        self.value(key).ok_or_else(|| self.refuse(key, Problem::Missing))
    }

    /// Text for people, cut to its limit, if it is there and is text at all.
    fn text(&self, key: &str) -> Option<String> {
        decoded(self.value(key)?.bytes()?, TEXT_LEN_MAX)
    }

    fn refuse(&self, key: &'static str, problem: Problem) -> MetainfoError {
        MetainfoError::Entry {
            place: Place {
                context: self.context,
                key,
            },
            problem,
        }
    }

    fn wrong_type(&self, key: &'static str, expected: &'static str) -> MetainfoError {
        self.refuse(key, Problem::WrongType { expected })
    }
}

/// The key of a name, and that of its variant for clients that know UTF-8.
#[derive(Clone, Copy)]
struct NameKey {
    plain: &'static str,
    utf8: &'static str,
}

const NAME: NameKey = NameKey {
    plain: "name",
    utf8: "name.utf-8",
};
const PATH: NameKey = NameKey {
    plain: "path",
    utf8: "path.utf-8",
};
const SYMLINK_PATH: NameKey = NameKey {
    plain: "symlink path",
    utf8: "symlink path.utf-8",
};

/// Reading of names, which should be UTF-8 and sometimes are not.
struct Names {
    /// The first that was not.
    not_utf8: Option<Place>,
}

impl Names {
    /// A string, from the variant where that one is better.
    fn text<'a>(&mut self, entry: &Entries<'a>, key: NameKey) -> Result<Cow<'a, str>, MetainfoError> {
        let variant = entry.value(key.utf8).and_then(Value::bytes);
        if let Some(name) = variant.and_then(|bytes| str::from_utf8(bytes).ok()) {
            return Ok(name.into());
        }
        let bytes = entry.required(key.plain)?.bytes();
        let bytes = bytes.ok_or_else(|| entry.wrong_type(key.plain, "a string"))?;
        Ok(self.decoded(
            bytes,
            Place {
                context: entry.context,
                key: key.plain,
            },
        ))
    }

    /// A list of path elements, from the variant where that one is better, below the torrent's folder.
    fn path(
        &mut self,
        entry: &Entries<'_>,
        key: NameKey,
        folder: &TorrentPath,
    ) -> Result<TorrentPath, MetainfoError> {
        let elements = match entry.value(key.utf8).and_then(utf8_strings) {
            Some(elements) => elements,
            None => self.elements(entry, key.plain)?,
        };
        let elements = elements.iter().map(|element| &**element);
        folder
            .join(elements)
            .map_err(|problem| entry.refuse(key.plain, problem.into()))
    }

    fn elements<'a>(
        &mut self,
        entry: &Entries<'a>,
        key: &'static str,
    ) -> Result<Vec<Cow<'a, str>>, MetainfoError> {
        let wrong_type = || entry.wrong_type(key, "a list of strings");
        let list = entry.required(key)?.list().ok_or_else(wrong_type)?;
        let place = Place {
            context: entry.context,
            key,
        };
        let elements = list
            .iter()
            .map(|element| Some(self.decoded(element.bytes()?, place)));
        elements.collect::<Option<Vec<_>>>().ok_or_else(wrong_type)
    }

    /// The text, with `_` for each sequence that is not UTF-8.
    fn decoded<'a>(&mut self, bytes: &'a [u8], place: Place) -> Cow<'a, str> {
        if let Ok(text) = str::from_utf8(bytes) {
            return text.into();
        }
        self.not_utf8.get_or_insert(place);
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let (sequence, behind) = rest.split_at(sequence_len(*first).min(rest.len()));
            text.push_str(str::from_utf8(sequence).unwrap_or("_"));
            rest = behind;
        }
        text.into()
    }
}

/// Bytes of a sequence as its first byte announces them, right or wrong. libtorrent skips a wrong sequence by the same
/// rule, and it is where data under such names is: `caf\xe9.txt`, Latin-1, is `caf_xt` on most disks.
fn sequence_len(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        0xf8..=0xfb => 5,
        _ => 1,
    }
}

/// The elements of a list that holds nothing but UTF-8.
fn utf8_strings(list: Value<'_>) -> Option<Vec<Cow<'_, str>>> {
    let elements = list.list()?.iter();
    elements
        .map(|element| Some(str::from_utf8(element.bytes()?).ok()?.into()))
        .collect()
}
