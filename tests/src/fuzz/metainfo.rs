//! Torrent files: what loads is consistent, stays in its folder, and survives being written again.
//!
//! An independent copy of the document ([`bencode_tree`]) says what stands under each key; the engine's answers are compared
//! with that, with sums done here, and with what its own builder makes of them.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use sha1::{Digest as _, Sha1};
use shoal_proto::bencode::decode;
use shoal_proto::digest::Digest;
use shoal_proto::info_hash::InfoHash;
use shoal_proto::layout::Layout;
use shoal_proto::limits::{
    FILES_MAX, METAINFO_LEN_MAX, PATH_DEPTH_MAX, PATH_ELEMENT_LEN_MAX, PATH_LEN_MAX, PIECE_LENGTH_MAX,
    PIECE_LENGTH_MIN, PIECES_MAX, SYMLINK_HOPS_MAX, TEXT_LEN_MAX, TOTAL_LEN_MAX, TRACKERS_MAX, URL_LEN_MAX,
    WEB_SEEDS_MAX,
};
use shoal_proto::magnet::Magnet;
use shoal_proto::metainfo::{
    Caution, Content, EntryKind, File, FileEntry, FileKind, Metainfo, MetainfoBuilder, TorrentPath,
};

use super::bencode_tree;
use super::mutation::with_fitting_hashes;
use crate::bencode::Value as Tree;

/// Any bytes as a torrent file; bencode also with as many hashes as its lengths need, which no fuzzer would guess.
pub fn metainfo(data: &[u8]) {
    check(data);
    if let Ok(document) = decode(data) {
        check(&with_fitting_hashes(bencode_tree(document.root())).encode());
    }
}

fn check(data: &[u8]) {
    match Metainfo::parse(data) {
        Ok(metainfo) => {
            assert!(data.len() <= METAINFO_LEN_MAX);
            check_hashes(&metainfo, data);
            check_layout(metainfo.layout(), metainfo.files());
            check_paths(&metainfo);
            check_links(metainfo.files());
            check_texts(&metainfo);
            check_rewriting(&metainfo);
            check_magnet(&metainfo);
        }
        Err(error) => {
            // It goes to a terminal, with what the file says in it.
            let sentence = error.to_string();
            assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
        }
    }
}

/// What is signed are the bytes that arrived; the first of equal keys counts.
fn check_hashes(metainfo: &Metainfo, data: &[u8]) {
    let root = decode(data).expect("a torrent file is bencode").root();
    let info = root
        .dict()
        .and_then(|torrent| torrent.get(b"info"))
        .expect("a torrent has info");
    assert_eq!(**metainfo.info(), *info.raw());
    assert_eq!(
        metainfo.info_hash(),
        InfoHash::V1(Sha1::digest(info.raw()).into())
    );

    let Tree::Dictionary(entries) = bencode_tree(info) else {
        panic!("info is not a dictionary");
    };
    let value = |key: &[u8]| {
        entries
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value)
    };
    let Some(Tree::Bytes(pieces)) = value(b"pieces") else {
        panic!("pieces are not a string");
    };
    let hashes = metainfo
        .layout()
        .piece_indices()
        .map(|piece| metainfo.piece_hash(piece));
    let hashes: Vec<u8> = hashes.flat_map(|hash| hash.as_bytes().to_vec()).collect();
    assert_eq!(hashes, *pieces);
    let open = value(b"private").is_none_or(|private| *private == Tree::Integer(0));
    assert_eq!(metainfo.is_private(), !open);
    let is_hybrid = metainfo.cautions().contains(&Caution::Hybrid);
    assert_eq!(is_hybrid, value(b"meta version").is_some());
}

/// Files follow one another, pieces cover them, and every part of the payload is found in a file.
fn check_layout(layout: &Layout, files: &[File]) {
    assert!((PIECE_LENGTH_MIN..=PIECE_LENGTH_MAX).contains(&layout.piece_length()));
    assert!((1..=PIECES_MAX).contains(&layout.pieces()));
    assert!((1..=FILES_MAX).contains(&files.len()));
    assert!((1..=TOTAL_LEN_MAX).contains(&layout.total_len()));
    assert_eq!(layout.file_count(), files.len());
    let mut end = 0;
    for ((_, extent), file) in layout.files().zip(files) {
        assert_eq!((extent.start, extent.len), (end, file.len));
        assert_eq!(extent.padding, file.kind == FileKind::Padding);
        end += extent.len;
    }
    assert_eq!(end, layout.total_len());

    let piece_lens = layout
        .piece_indices()
        .map(|piece| u64::from(layout.piece_len(piece)));
    assert_eq!(piece_lens.sum::<u64>(), end);
    let mut position = 0;
    for segment in layout.segments(0, end) {
        assert_eq!(layout.file(segment.file).start + segment.offset, position);
        assert!(segment.len > 0);
        position += segment.len;
    }
    assert_eq!(position, end);
    let last = layout.piece(layout.pieces() - 1).expect("the last piece");
    let last_block = layout.blocks(last).last().expect("a piece has blocks");
    assert_eq!(layout.offset(last_block) + u64::from(last_block.len()), end);
    assert_eq!(
        layout.span(last.get(), last_block.offset(), last_block.len() + 1),
        None
    );
    assert_eq!(layout.piece(layout.pieces()), None);
}

/// No path leaves the torrent's folder, no two files are in each other's way.
fn check_paths(metainfo: &Metainfo) {
    let folder = Path::new(metainfo.name());
    assert_eq!(folder.components().count(), 1, "{folder:?}");
    let mut taken = BTreeSet::new();
    for file in metainfo.files() {
        check_path(&file.path, folder);
        if let FileKind::Symlink { target } = &file.kind {
            check_path(target, folder);
            assert_eq!(file.len, 0, "{file:?}");
        }
        let on_disk = file.kind != FileKind::Padding;
        assert!(!on_disk || taken.insert(file.path.as_path()), "{file:?} twice");
    }
    for path in &taken {
        let above = path.ancestors().skip(1).find(|above| taken.contains(above));
        assert_eq!(above, None, "a file above {path:?}");
    }
}

fn check_path(path: &TorrentPath, folder: &Path) {
    assert!(
        path.as_path().starts_with(folder),
        "{path:?} is not in {folder:?}"
    );
    assert!(path.as_str().len() <= PATH_LEN_MAX);
    assert!((1..=PATH_DEPTH_MAX).contains(&path.elements().count()));
    // As the kernel reads it, it has the same elements, each a plain name.
    let components = path.as_path().components().map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    assert!(components.eq(path.elements().map(Some)), "{path:?}");
    for element in path.elements() {
        assert!((1..=PATH_ELEMENT_LEN_MAX).contains(&element.len()), "{path:?}");
        let disturbs = |character: char| {
            character.is_control()
                || matches!(character, '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!element.chars().any(disturbs), "{path:?}");
    }
}

/// Following a link, and the links it leads to, ends at a file, or at a folder that the link is not in.
fn check_links(files: &[File]) {
    for file in files {
        let mut at = file;
        let mut hops = 0;
        while let FileKind::Symlink { target } = &at.kind {
            hops += 1;
            assert!(hops <= SYMLINK_HOPS_MAX, "{file:?} leads on and on");
            let inside = |path: &TorrentPath| path.as_path().starts_with(target.as_path());
            let on_disk = |other: &&File| other.kind != FileKind::Padding;
            assert!(!inside(&file.path), "{file:?} leads above itself");
            let Some(next) = files.iter().filter(on_disk).find(|other| other.path == *target) else {
                let folder = files.iter().filter(on_disk).any(|other| inside(&other.path));
                assert!(folder, "{file:?} leads nowhere");
                break;
            };
            at = next;
        }
    }
}

fn check_texts(metainfo: &Metainfo) {
    for text in [metainfo.comment(), metainfo.created_by(), metainfo.source()]
        .into_iter()
        .flatten()
    {
        assert!((1..=TEXT_LEN_MAX).contains(&text.len()), "{} bytes", text.len());
    }
    let trackers: Vec<_> = metainfo.trackers().iter().flatten().collect();
    assert!(trackers.len() <= TRACKERS_MAX && metainfo.web_seeds().len() <= WEB_SEEDS_MAX);
    assert!(metainfo.trackers().iter().all(|tier| !tier.is_empty()));
    for url in trackers.iter().copied().chain(metainfo.web_seeds()) {
        assert!(
            url.len() <= URL_LEN_MAX && url.bytes().all(|byte| byte.is_ascii_graphic()),
            "{url:?}"
        );
    }
    assert_eq!(
        trackers.iter().collect::<BTreeSet<_>>().len(),
        trackers.len(),
        "a tracker twice"
    );
    for caution in metainfo.cautions() {
        let sentence = caution.to_string();
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    }
}

/// The builder, told what was read, writes a canonical torrent that reads as the same.
fn check_rewriting(metainfo: &Metainfo) {
    let hashes: Vec<Digest> = metainfo
        .layout()
        .piece_indices()
        .map(|piece| metainfo.piece_hash(piece))
        .collect();
    let built = builder(metainfo)
        .build(&hashes)
        .expect("what was read can be written");
    let again = built.metainfo;
    assert_eq!(again.name(), metainfo.name());
    assert_eq!(again.files(), metainfo.files());
    assert_eq!(again.layout(), metainfo.layout());
    assert_eq!(again.is_private(), metainfo.is_private());
    assert_eq!(
        (again.source(), again.comment(), again.created_by()),
        (metainfo.source(), metainfo.comment(), metainfo.created_by())
    );
    assert_eq!(again.creation_date_s(), metainfo.creation_date_s());
    assert_eq!(again.trackers(), metainfo.trackers());
    assert_eq!(again.web_seeds(), metainfo.web_seeds());
    assert_eq!(decode(&built.bytes).map(|document| document.disorder()), Ok(None));
    // Of what may be worth knowing only this survives.
    let twins = |metainfo: &Metainfo| {
        let mut cautions = metainfo.cautions().iter();
        cautions
            .find(|caution| matches!(caution, Caution::CaseTwins { .. }))
            .copied()
    };
    assert_eq!(again.cautions(), twins(metainfo).as_slice());
}

fn builder(metainfo: &Metainfo) -> MetainfoBuilder {
    let content = match metainfo.files() {
        [only] if only.path.as_str() == metainfo.name() => match only.kind {
            FileKind::Regular(attributes) => Content::File {
                len: only.len,
                attributes,
            },
            _ => panic!("{only:?} is no payload"),
        },
        files => Content::Folder(files.iter().map(file_entry).collect()),
    };
    MetainfoBuilder {
        trackers: metainfo.trackers().to_vec(),
        web_seeds: metainfo.web_seeds().to_vec(),
        private: metainfo.is_private(),
        source: metainfo.source().map(str::to_owned),
        comment: metainfo.comment().map(str::to_owned),
        created_by: metainfo.created_by().map(str::to_owned),
        creation_date_s: metainfo.creation_date_s(),
        ..MetainfoBuilder::new(metainfo.name(), content, metainfo.layout().piece_length())
    }
}

fn file_entry(file: &File) -> FileEntry {
    FileEntry {
        path: below_folder(&file.path),
        len: file.len,
        kind: match &file.kind {
            FileKind::Regular(attributes) => EntryKind::Regular(*attributes),
            FileKind::Padding => EntryKind::Padding,
            FileKind::Symlink { target } => EntryKind::Symlink {
                target: below_folder(target),
            },
        },
    }
}

fn below_folder(path: &TorrentPath) -> Vec<String> {
    path.elements().skip(1).map(str::to_owned).collect()
}

/// The torrent's own link leads back to it.
fn check_magnet(metainfo: &Metainfo) {
    let link = Magnet::from(metainfo);
    assert_eq!(link.info_hash, metainfo.info_hash());
    assert_eq!(link.to_string().parse(), Ok(link));
}
