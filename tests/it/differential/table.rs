//! Where libtorrent 2.1.1 decides differently, and why that stays so.
//!
//! Rows are facts: the test shows that each example falls into its class, and that no document falls into another one.

use std::fmt;

use shoal_tests::bencode::Value;

/// The heading of the table in `tests/README.md`.
pub(super) const HEADING: &str = "| shoal | about | example | why |";

/// A class of documents about which two parsers differ.
pub(super) struct Difference {
    /// See [`super::class`].
    pub(super) class: &'static str,
    /// A document of the class.
    pub(super) example: Example,
    reason: Reason,
}

/// A short way to write a document.
pub(super) enum Example {
    /// The document itself.
    Document(&'static [u8]),
    /// What stands in `info` before the piece length of 16,384 and one piece hash.
    Info(&'static [u8]),
    /// Lists in one another.
    Lists {
        /// How many.
        depth: usize,
    },
    /// The path of the only file in a folder.
    Path {
        /// Elements.
        depth: usize,
        /// Bytes in each.
        len: usize,
    },
}

/// Why a difference stays.
enum Reason {
    /// We refuse what libtorrent takes.
    OursStricter(&'static str),
    /// We take what libtorrent refuses.
    OursLooser(&'static str),
    /// Both take it for something else.
    ReadOtherwise(&'static str),
}

use Example::{Document, Info, Lists, Path};
use Reason::{OursLooser, OursStricter, ReadOtherwise};

const fn difference(class: &'static str, example: Example, reason: Reason) -> Difference {
    Difference {
        class,
        example,
        reason,
    }
}

/// All of them: who accepts, about what, and a reason.
pub(super) const DIFFERENCES: [Difference; 40] = [
    difference(
        "refused: bencode: IntegerOverflow",
        Document(b"i9223372036854775808e"),
        OursStricter("an integer that does not fit reads as 0 there; a length of 0 is not what was signed"),
    ),
    difference(
        "refused: bencode: LeadingZero",
        Document(b"i007e"),
        OursStricter("one value, one spelling: two clients that spell a value in two ways sign two torrents"),
    ),
    difference(
        "refused: bencode: Trailing",
        Document(b"i1ei2e"),
        OursStricter(
            "what follows the value belongs to nobody; where the protocol puts bytes there, they are read",
        ),
    ),
    difference(
        "accepted: bencoded nesting depth exceeded",
        Lists { depth: 100 },
        OursLooser("both limits are 100; here the 100th list may be entered"),
    ),
    difference(
        "read: of equal keys the last",
        Document(b"d1:ai1e1:ai2ee"),
        ReadOtherwise("its Python copy of a dictionary; its torrent parser takes the first, as we do"),
    ),
    difference(
        "read: another value",
        Document(b"i-9223372036854775808e"),
        ReadOtherwise("the lowest integer reads as 0 there"),
    ),
    difference(
        "refused: version 1 half",
        Document(
            b"d4:infod9:file treed1:ad0:d6:lengthi5e11:pieces root32:hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhheee\
             12:meta versioni2e4:name1:a12:piece lengthi16384eee",
        ),
        OursStricter("libtorrent takes the version 2 half alone; here version 2 (BEP 52) is not supported"),
    ),
    difference(
        "refused: pieces: WrongType",
        Document(
            b"d4:infod9:file treed1:ad0:d6:lengthi5e11:pieces root32:hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhheee\
              6:lengthi5e12:meta versioni2e4:name1:a12:piece lengthi16384e6:piecesleee",
        ),
        OursStricter("as above"),
    ),
    difference(
        "accepted: version 2 half",
        Info(b"9:file treede6:lengthi5e12:meta versioni2e4:name1:a"),
        OursLooser("the version 2 half of a hybrid is not looked at, so nothing wrong in it matters"),
    ),
    difference(
        "accepted: the torrent contains v2 keys but does not specify meta version 2",
        Info(b"9:file treede6:lengthi5e4:name1:a"),
        OursLooser("a key that version 1 does not have means nothing without a version"),
    ),
    difference(
        "refused: files: Ambiguous",
        Info(b"5:filesld6:lengthi5e4:pathl1:beee6:lengthi5e4:name1:a"),
        OursStricter("one file or several? BEP 3 has either, and clients differ in which they take"),
    ),
    difference(
        "refused: layout: Empty",
        Info(b"5:filesld4:attr1:p6:lengthi5e4:pathl1:beee4:name1:a"),
        OursStricter("padding alone is no payload"),
    ),
    difference(
        "refused: layout: PieceLength",
        Info(b"6:lengthi5e4:name1:a12:piece lengthi5e"),
        OursStricter("a hash for less than 1 KiB costs more than it protects"),
    ),
    difference(
        "read: private",
        Info(b"6:lengthi5e4:name1:a7:private1:1"),
        ReadOtherwise("anything but the integer 0 is private: in doubt no address leaks"),
    ),
    difference(
        "refused: path: Control",
        Info(b"6:lengthi5e4:name3:a\nb"),
        OursStricter(
            "libtorrent writes `_`; a path is used as it is or refused, so that data stays where it is",
        ),
    ),
    difference(
        "refused: path: Direction",
        Info(b"6:lengthi5e4:name8:\xe2\x80\xaegpj.x"),
        OursStricter("libtorrent leaves the mark out; as above"),
    ),
    difference(
        "refused: path: ElementTooLong",
        Path { depth: 1, len: 256 },
        OursStricter("libtorrent cuts names; as above"),
    ),
    difference(
        "refused: path: Empty",
        Info(b"5:filesld6:lengthi5e4:pathl1:.eee4:name1:a"),
        OursStricter("libtorrent writes `_` where no name is left; as above"),
    ),
    difference(
        "refused: path: Parent",
        Info(b"5:filesld6:lengthi5e4:pathl2:..1:beee4:name1:a"),
        OursStricter("libtorrent writes `_` for `..`; as above"),
    ),
    difference(
        "refused: path: Separator",
        Info(b"6:lengthi5e4:name3:b/c"),
        OursStricter("libtorrent leaves `/`, `\\` and NUL out; as above"),
    ),
    difference(
        "refused: path: TooDeep",
        Path { depth: 100, len: 1 },
        OursStricter("both limits are 100; here the torrent's folder counts"),
    ),
    difference(
        "refused: path: TooLong",
        Path { depth: 16, len: 250 },
        OursStricter("libtorrent finds out when it opens the file"),
    ),
    difference(
        "refused: path: SamePath",
        Info(b"5:filesld6:lengthi2e4:pathl1:beed6:lengthi3e4:pathl1:beee4:name1:a"),
        OursStricter("libtorrent renames one of them; as above"),
    ),
    difference(
        "refused: path: ThroughFile",
        Info(b"5:filesld6:lengthi2e4:pathl1:beed6:lengthi3e4:pathl1:b1:ceee4:name1:a"),
        OursStricter("libtorrent renames the file; as above"),
    ),
    difference(
        "read: path: `utf-8` variant",
        Info(b"6:lengthi5e4:name1:a10:name.utf-82:\xc3("),
        ReadOtherwise("libtorrent takes the variant, with `_`; here one that is not UTF-8 does not count"),
    ),
    difference(
        "refused: name: Missing",
        Info(b"6:lengthi5e10:name.utf-82:\xc3("),
        OursStricter("as above"),
    ),
    difference(
        "refused: path: Missing",
        Info(b"5:filesld6:lengthi5e10:path.utf-8l2:\xc3(eee4:name1:a"),
        OursStricter("as above"),
    ),
    difference(
        "refused: path: WrongType",
        Info(b"5:filesld6:lengthi5e4:path1:b10:path.utf-8l2:\xc3(eee4:name1:a"),
        OursStricter("as above"),
    ),
    difference(
        "read: path: namesake",
        Info(b"5:filesld6:lengthi2e4:pathl1:beed6:lengthi3e4:pathl1:Beee4:name1:a"),
        ReadOtherwise(
            "libtorrent renames what differs in case only; Linux keeps them apart, and so do we, with a caution",
        ),
    ),
    difference(
        "read: path: empty or `.`",
        Info(b"5:filesld6:lengthi5e4:pathl0:1:.1:beee4:name1:a"),
        ReadOtherwise("libtorrent writes `_` for both; to the kernel they name the folder they stand in"),
    ),
    difference(
        "read: path: mark",
        Info(b"6:lengthi5e4:name4:\xef\xbb\xbfb"),
        ReadOtherwise("libtorrent takes marks without width out of names; a path is used as it is"),
    ),
    difference(
        "accepted: missing name in torrent file",
        Info(b"6:lengthi5e4:name3:\xef\xbb\xbf"),
        OursLooser("as above; of such a name nothing is left there"),
    ),
    difference(
        "read: path: long name",
        Path { depth: 1, len: 255 },
        ReadOtherwise("libtorrent keeps 240 bytes of a name; Linux has room for 255"),
    ),
    difference(
        "accepted: invalid 'name' of torrent (possible exploit attempt)",
        Info(b"5:filesld6:lengthi5e4:pathl1:b0:eed4:attr1:p6:lengthi5e4:pathlleeee4:name1:a"),
        OursLooser(
            "the path of padding means nothing and is not read; a `utf-8` variant that is wrong does not count",
        ),
    ),
    difference(
        "refused: length: NotALength",
        Info(b"5:filesld6:lengthi5e4:pathl1:beed6:lengthi-9223372036854775808e4:pathl1:ceee4:name1:a"),
        OursStricter("the lowest integer reads as 0 there; others are refused by both"),
    ),
    difference(
        "refused: length: SymlinkLength",
        Info(
            b"5:filesld6:lengthi5e4:pathl1:beed4:attr1:l6:lengthi5e4:pathl1:ce12:symlink pathl1:beee4:name1:a",
        ),
        OursStricter("libtorrent takes the length for 0; a link with bytes is a mistake in what was signed"),
    ),
    difference(
        "refused: length: WrongType",
        Info(
            b"5:filesld6:lengthi5e4:pathl1:beed4:attr1:l6:lengthle4:pathl1:ce12:symlink pathl1:beee4:name1:a",
        ),
        OursStricter("as above"),
    ),
    difference(
        "refused: symlink path: Missing",
        Info(b"5:filesld6:lengthi5e4:pathl1:beed4:attr1:l6:lengthi0e4:pathl1:ceee4:name1:a"),
        OursStricter("libtorrent makes an empty file of it; a link is a link or refused"),
    ),
    difference(
        "refused: symlink path: WrongType",
        Info(b"5:filesld6:lengthi5e4:pathl1:beed4:attr1:l6:lengthi0e4:pathl1:ce12:symlink path1:bee4:name1:a"),
        OursStricter("as above"),
    ),
    difference(
        "refused: symlink path: SymlinkTarget",
        Info(
            b"5:filesld6:lengthi5e4:pathl1:beed4:attr1:l6:lengthi0e4:pathl1:ce12:symlink pathl1:deee4:name1:a",
        ),
        OursStricter("libtorrent lets such a link lead to itself; as above"),
    ),
];

impl Example {
    pub(super) fn document(&self) -> Vec<u8> {
        match self {
            Document(document) => document.to_vec(),
            Info(before) => torrent(before),
            Lists { depth } => ["l".repeat(*depth), "e".repeat(*depth)].concat().into(),
            Path { depth, len } => {
                let path = Value::texts(vec!["x".repeat(*len); *depth]);
                let file = Value::dictionary([("length", Value::Integer(5)), ("path", path)]);
                let files = Value::List(vec![file]).encode();
                torrent(&[b"5:files", files.as_slice(), b"4:name1:a"].concat())
            }
        }
    }
}

fn torrent(before: &[u8]) -> Vec<u8> {
    let behind = format!("12:piece lengthi16384e6:pieces20:{}ee", "h".repeat(20));
    [b"d4:infod", before, behind.as_bytes()].concat()
}

/// A row of the table in `tests/README.md`.
impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, about) = self
            .class
            .split_once(": ")
            .expect("a class begins with who accepts");
        let (verdict, reason) = match self.reason {
            OursStricter(reason) => ("refuses", reason),
            OursLooser(reason) => ("accepts", reason),
            ReadOtherwise(reason) => ("reads otherwise", reason),
        };
        write!(out, "| {verdict} | {about} | {} | {reason} |", self.example)
    }
}

impl fmt::Display for Example {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Document(text) | Info(text) => write!(out, "`{}`", text.escape_ascii()),
            Lists { depth } => write!(out, "{depth} lists in one another"),
            Path { depth: 1, len } => write!(out, "a name of {len} bytes"),
            Path { depth, len } => write!(out, "a path of {depth} names of {len} bytes"),
        }
    }
}
