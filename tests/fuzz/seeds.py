"""Writes the named files of the corpus: what each parser meets in the wild, and the hostile inputs that are known.

usage: seeds.py [CORPUS]

The numbers in brackets are those of the list of hostile inputs that the tests go by. Torrents "made-by-*" come from the
tool of that name and are only written where it is installed (libtorrent is the Python module of tools/test.sh).
Everything else is written out here. Files whose name is a hash are findings of the fuzzers and not from here.
"""

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    entries = sorted((key.encode() if isinstance(key, str) else key, inner) for key, inner in value.items())
    return b"d" + b"".join(bencode(key) + bencode(inner) for key, inner in entries) + b"e"


def nested(depth, opening=b"l"):
    return opening * depth + b"e" * depth


BENCODE = {
    "integers": b"li0ei1ei-1ei9223372036854775807ei-9223372036854775808ee",
    "strings": b"l0:1:a5:\0\xffie:e",
    "dictionary": b"d1:ai1e1:bl1:xe1:cd1:yi2eee",
    "lists-100-deep": nested(100),
    "lists-101-deep": nested(101),  # [1]
    "dictionaries-without-end": b"d1:a" * 150,  # [1]
    "length-overflows": b"99999999999999999999:",  # [3]
    "length-of-2-to-64": b"18446744073709551616:a",
    "length-beyond-the-end": b"d4:name100:short",
    "length-with-a-leading-zero": b"01:a",
    "length-negative": b"-1:a",
    "integer-minus-zero": b"i-0e",  # [4]
    "integer-with-a-leading-zero": b"i01e",
    "integer-of-100-digits": b"i" + b"9" * 100 + b"e",
    "integer-empty": b"ie",
    "integer-lone-minus": b"i-e",
    "integer-plus": b"i+1e",
    "keys-unsorted": b"d1:bi1e1:ai2ee",  # [5]
    "keys-twice": b"d1:ai1e1:ai2ee",
    "key-integer": b"di1ei2ee",
    "key-without-a-value": b"d1:ae",
    "bytes-behind-the-end": b"i1ei2e",  # [6]
    "many-tokens": b"l" + b"i0e" * 1000 + b"e",  # [7], in small
}


def info(**changes):
    whole = {"name": "a", "piece length": 16384, "length": 20000, "pieces": b"h" * 40}
    whole.update({key.replace("_", " "): value for key, value in changes.items()})
    return {key: value for key, value in whole.items() if value is not None}


def torrent(inner, **around):
    return bencode({"info": inner, **{key.replace("_", " "): value for key, value in around.items()}})


def files(*entries, **changes):
    lengths = sum(entry.get("length", 0) for entry in entries)
    hashes = max(1, -(-lengths // 16384)) if 0 < lengths < 1 << 40 else 2
    return torrent(info(length=None, files=list(entries), pieces=b"h" * 20 * hashes, **changes))


def file(length, *path, **more):
    return {"length": length, "path": list(path), **{key.replace("_", " "): value for key, value in more.items()}}


def link(*target, path=("link",)):
    return file(0, *path, attr="l", symlink_path=list(target))


METAINFO = {
    "one-file": torrent(info()),
    "one-executable-file": torrent(info(attr="x", private=1, source="s")),
    "several-files": files(file(1, "a"), file(20000, "b", "c"), file(0, "b", "d")),
    "everything": torrent(
        info(private=1, source="here"),
        announce="http://t.example/a",
        announce_list=[["http://t.example/a", "udp://t.example:1/"], ["wss://u.example/"]],
        comment="a\nb",
        created_by="seeds.py",
        creation_date=1_700_000_000,
        url_list=["http://w.example/", "https://w.example/b"],
    ),
    "padding": files(file(10000, "a"), file(6384, ".pad", "6384", attr="p"), file(5, "b", attr="hx")),
    "padding-without-a-path": files(file(10000, "a"), {"attr": "p", "length": 6384}, file(5, "b")),
    "padding-only": files(file(16384, "a", attr="p")),  # [11]
    "links": files(file(9, "a"), file(9, "b", "c"), link("a"), link("b", path=("to", "b")), link("link", path=("z",))),
    "link-up-and-out": files(file(9, "a"), link("..", "..", "etc", "passwd")),  # [14]
    "link-absolute": files(file(9, "a"), link("/etc/passwd")),
    "link-loop": files(file(9, "a"), link("y", path=("x",)), link("x", path=("y",))),
    "link-to-its-folder": files(file(9, "a"), link("b", path=("b", "x"))),
    "link-with-bytes": files(file(9, "a"), {**link("a"), "length": 5}),
    "names-in-utf-8-variant": files(file(9, b"\xe4", **{"path.utf-8": ["ä"]}), **{"name.utf-8": "ü", "name": b"\xfc"}),
    "names-not-utf-8": files(file(9, b"a\xff\xfeb"), name=b"\xc3\x28"),
    "unknown-keys": torrent({**info(), "zzzz": [1, {"a": nested(3).decode()}]}, zzzz=[[]]),
    "hybrid": torrent({**info(), "meta version": 2, "file tree": {"a": {"": {"length": 20000}}}}),
    "version-2-only": torrent({"meta version": 2, "name": "a", "piece length": 16384, "file tree": {}}),  # [17]
    "nested-in-an-unknown-key": b"d4:info" + bencode(info()) + b"4:zzzz" + nested(150) + b"e",  # [2]
    "info-unsorted": b"d4:infod6:pieces20:hhhhhhhhhhhhhhhhhhhh4:name1:a12:piece lengthi16384e6:lengthi5eee",  # [5]
    "info-keys-twice": b"d4:infod6:lengthi5e4:name1:a4:name1:b12:piece lengthi16384e6:pieces20:" + b"h" * 20 + b"ee",
    "info-twice": b"d4:info" + bencode(info()) + b"4:info" + bencode(info(name="b")) + b"e",
    "bytes-behind-the-end": torrent(info()) + b"\n",  # [6]
    "hashes-cut": torrent(info(pieces=b"h" * 30)),  # [8]
    "hashes-too-few": torrent(info(pieces=b"h" * 20)),
    "hashes-too-many": torrent(info(pieces=b"h" * 60)),
    "hashes-none": torrent(info(pieces=b"")),
    "piece-length-0": torrent(info(piece_length=0)),  # [9]
    "piece-length-negative": torrent(info(piece_length=-16384)),
    "piece-length-1": torrent(info(piece_length=1, length=2)),
    "piece-length-odd": torrent(info(piece_length=12345, length=20000)),
    "piece-length-512-mib": torrent(info(piece_length=512 << 20, pieces=b"h" * 20)),
    "piece-length-2-to-62": torrent(info(piece_length=1 << 62)),
    "length-negative": torrent(info(length=-1)),  # [10]
    "length-2-to-63": torrent(info(length=(1 << 63) - 1)),
    "lengths-overflow": files(file((1 << 63) - 1, "a"), file((1 << 63) - 1, "b"), file(20002, "c")),
    "length-and-files": torrent(info(files=[file(20000, "a")])),
    "files-none": files(),  # [11]
    "files-empty": files(file(0, "a"), file(0, "b")),
    "paths-that-lead-up": files(file(9, "a", "..", "..", "b")),  # [12]
    "path-dot": files(file(9, ".")),
    "path-with-empty-elements": files(file(9, "", "a", ".", "b")),
    "path-none": files(file(9)),
    "path-absolute": files(file(9, "/etc/passwd")),
    "path-with-slashes": files(file(9, "a/../../b")),
    "path-with-backslashes": files(file(9, "a\\..\\b")),
    "path-with-nul": files(file(9, "a\0b")),
    "path-with-control-characters": files(file(9, "a\n\x1b[2J")),
    "path-right-to-left": files(file(9, "a\u202egpj.exe")),
    "path-element-of-256-bytes": files(file(9, "x" * 256)),
    "path-of-101-elements": files(file(9, *["d"] * 100)),
    "path-too-long": files(file(9, *["y" * 250] * 13)),
    "path-string": files({"length": 9, "path": "a"}),
    "name-up": torrent(info(name="..")),
    "name-empty": torrent(info(name="")),  # [15]
    "name-missing": torrent(info(name=None)),
    "name-with-slash": torrent(info(name="a/b")),
    "file-below-a-file-behind-a-neighbour": files(file(9, "a"), file(9, "a!"), file(9, "a", "b")),
    "same-path-twice": files(file(9, "a"), file(9, "a")),  # [13]
    "file-below-a-file": files(file(9, "a"), file(9, "a", "b")),
    "case-twins": files(file(9, "A", "b"), file(9, "a", "B")),
    "composed-twins": files(file(9, "\u00e9"), file(9, "e\u0301")),
    "private-text": torrent(info(private="1")),  # [16]
    "private-2": torrent(info(private=2)),
    "private-0": torrent(info(private=0)),
    "addresses-of-no-use": torrent(info(), announce="dht://x", announce_list=[["http://", " http://a/ ", 5]], url_list=""),
}

HASH = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"

MAGNET = {
    "hash-only": f"magnet:?xt=urn:btih:{HASH}",
    "hash-in-base32": "MAGNET:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK",
    "hybrid": f"magnet:?xt=urn:btih:{HASH}&xt=urn:btmh:1220{HASH}{HASH[:24]}",
    "version-2": f"magnet:?xt=urn:btmh:1220{HASH}{HASH[:24]}",
    "everything": f"magnet:?xt=urn:btih:{HASH}&dn=a+b%20%2B%c3%a9&tr.1=http%3A%2F%2Ft.example%2Fa&tr=udp://t.example:1"
    "&ws=https://w.example/&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:6881&x.pe=h.example:1&so=0,2,4-6&xl=5&as=x",
    "encoded-where-it-matters": f"magnet:?xt=urn:btih:{HASH}&dn=a%26tr=b%25%23%2526&tr=http://a/?b%26c=%25",
    "doubles": f"magnet:?xt=urn:btih:{HASH}&tr=udp://a&tr=udp://a&ws=http://a&ws=http://a&x.pe=a:1&x.pe=a:1",
    "no-hash": "magnet:?dn=a",  # [18]
    "bad-base32": "magnet:?xt=urn:btih:0EX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK",
    "bad-hexadecimal": "magnet:?xt=urn:btih:" + "g" * 40,
    "two-torrents": f"magnet:?xt=urn:btih:{HASH}&xt=urn:btih:{HASH[::-1]}",
    "kinds-mixed-up": f"magnet:?xt=urn:btmh:{HASH}",
    "many-trackers": f"magnet:?xt=urn:btih:{HASH}" + "".join(f"&tr=udp://t{n}.example" for n in range(200)),
    "name-with-control-characters": f"magnet:?xt=urn:btih:{HASH}&dn=%00%1b%0a%c2%85%ff%zz%",
    "peers-of-no-use": f"magnet:?xt=urn:btih:{HASH}&x.pe=a:0&x.pe=:1&x.pe=a:65536&x.pe=::1:1&x.pe=[::1:1&x.pe=a:+1",
    "selection-backwards": f"magnet:?xt=urn:btih:{HASH}&so=6-4",
    "selection-empty": f"magnet:?xt=urn:btih:{HASH}&so=",
    "selection-with-signs": f"magnet:?xt=urn:btih:{HASH}&so=+1,2-+3",
    "selection-too-large": f"magnet:?xt=urn:btih:{HASH}&so=0-4294967295",
}


def handshake(reserved=b"\0\0\0\0\0\x10\0\x05", peer_id=b"-qB4620-abcdefghijkl", protocol=b"\x13BitTorrent protocol"):
    return protocol + reserved + bytes.fromhex(HASH) + peer_id


HANDSHAKE = {
    "qbittorrent": handshake(),
    "no-extensions": handshake(bytes(8), b"M7-9-2--abcdefghijkl"),
    "all-reserved-bits": handshake(b"\xff" * 8),
    "peer-id-of-control-characters": handshake(peer_id=bytes(range(20))),
    "peer-id-with-a-name-and-no-version": handshake(peer_id=b"-UT\0\xff\x7f!-abcdefghijkl"),
    "another-protocol": handshake(protocol=b"\x13BitTorrent-protocol"),  # [21]
    "another-length": handshake(protocol=b"\x14BitTorrent protocol"),
    "cut": handshake()[:47],
    "web-browser": b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
}


def frame(id, payload=b""):
    return struct.pack(">IB", 1 + len(payload), id) + payload


def block(id, *numbers):
    return frame(id, struct.pack(f">{len(numbers)}I", *numbers))


def stream(*frames, pieces=100, portions=()):
    return struct.pack(">IB", pieces - 1, len(portions)) + bytes(portions) + b"".join(frames)


ALIVE = b"\0\0\0\0"

MESSAGES = {
    "one-of-each": stream(
        ALIVE,
        *[frame(id) for id in (0, 1, 2, 3, 14, 15)],
        *[block(id, 7) for id in (4, 13, 17)],
        *[block(id, 7, 16384, 16384) for id in (6, 8, 16)],
        frame(5, b"\xff" * 12 + b"\xf0"),
        block(7, 7, 16384)[:3] + bytes([8 + 1 + 4]) + block(7, 7, 16384)[4:] + b"data",
        frame(9, b"\x1a\xe1"),
        frame(20, b"\0de"),
        portions=(1, 2, 3, 5, 8),
    ),
    "leecher": stream(frame(15), frame(2), *[block(6, n // 2, n % 2 * 16384, 16384) for n in range(20)], portions=(50,)),
    "bitfield-long": stream(frame(5, b"\xaa" * 125), pieces=1000, portions=(10,)),
    "bitfield-of-the-wrong-size": stream(frame(5, b"\xff" * 5)),  # [24]
    "bitfield-with-spare-bits": stream(frame(5, b"\xff" * 13)),
    "bitfield-twice": stream(frame(5, b"\0" * 13), frame(5, b"\0" * 13)),
    "length-of-4-gib": stream(frame(2), b"\xff\xff\xff\xff\x05"),  # [22]
    "length-just-allowed": stream(b"\0\0\x80\0\x14\x01" + b"x" * 200, portions=(40,)),
    "length-just-too-long": stream(b"\0\0\x80\x01\x14\x01"),
    "keep-alives": stream(ALIVE * 300, portions=(3,)),
    "unknown-messages": stream(frame(99, b"x" * 30), frame(2), frame(21), frame(255, b"y"), frame(3), portions=(4,)),
    "cut-in-a-request": stream(block(6, 1, 0, 16384)[:9]),
    "have-of-3-bytes": stream(frame(4, b"\0\0\0")),
    "choke-with-payload": stream(frame(0, b"x")),
    "blocks-that-do-not-exist": stream(  # [23]
        block(6, 100, 0, 16384),
        block(6, 99, 257144, 1),
        block(6, 99, 257143, 1),
        block(6, 0, 0xFFFFFFFF, 0xFFFFFFFF),
        block(6, 0, 262144, 0),
        block(6, 0, 0, 0),
        block(6, 0, 0, 1 << 20),
        block(6, 0, 0, 1 << 17),
        block(6, 0, 0, (1 << 17) + 1),
    ),
}

EXTENSION = {
    "libtorrent": bencode(
        {
            "m": {"lt_donthave": 7, "upload_only": 3, "ut_metadata": 2, "ut_pex": 1},
            "metadata_size": 16384,
            "p": 6881,
            "reqq": 2000,
            "upload_only": 1,
            "v": "qBittorrent/4.6.2",
            "yourip": b"\xc0\0\2\1",
        }
    ),
    "ipv6": bencode({"m": {}, "yourip": bytes(15) + b"\1", "e": 0, "ipv4": b"abcd"}),
    "empty": b"de",
    "followed-by-bytes": b"de\0\0",
    "everything-of-the-wrong-type": bencode({"m": [], "metadata_size": "x", "p": [], "reqq": {}, "v": 1, "yourip": 5}),
    "numbers-out-of-range": bencode(
        {"m": {"ut_pex": 256, "ut_metadata": -1, "upload_only": 0}, "metadata_size": 1 << 31, "p": 65536, "reqq": -1}
    ),  # [19]
    "numbers-of-zero": bencode({"metadata_size": 0, "p": 0, "reqq": 0, "upload_only": 0}),
    "name-of-control-characters": bencode({"v": b"\x1b[2Jevil\r\n\xff" + b"x" * 100}),
    "name-cut-in-a-character": bencode({"v": b"x" * 63 + "é".encode()}),
    "nested": b"d1:m" + nested(150) + b"e",  # [27]
    "list": b"le",
    "keys-twice": b"d1:pi1e1:pi2ee",
}

METADATA = {
    "request": bencode({"msg_type": 0, "piece": 0}),
    "data": bencode({"msg_type": 1, "piece": 0, "total_size": 34256}) + b"x" * 100,
    "data-last-piece": bencode({"msg_type": 1, "piece": 2, "total_size": 34256}) + b"x" * 50,
    "data-behind-the-last-piece": bencode({"msg_type": 1, "piece": 1, "total_size": 16384}),
    "reject": bencode({"msg_type": 2, "piece": 1}),
    "unknown-kind": bencode({"msg_type": 3, "piece": 1}),
    "piece-beyond-32-bits": bencode({"msg_type": 0, "piece": 1 << 32}),
    "piece-negative": bencode({"msg_type": 0, "piece": -1}),
    "piece-of-2-to-32-less-one": bencode({"msg_type": 1, "piece": (1 << 32) - 1, "total_size": (1 << 32) - 1}),
    "total-missing": bencode({"msg_type": 1, "piece": 0}),
    "nested": b"d8:msg_type" + nested(150) + b"e",  # [1]
}

CONFIG = {
    "two-settings": "listen: 0.0.0.0:6881\npeers_max: 5\n",
    "ipv6-quoted": "listen: '[::]:6881'\n",
    "ipv6-plain": "listen: [::]:6881\n",
    "every-form": "cores: 0,2-3\narena_size: 64 MiB\ncache_size: 0\nio_mode: direct\nupload_slots: unlimited\n"
    "idle_timeout: 121s\nhashing_threads: auto\n",
    "empty": "",
    "comments-only": "# nothing\n\n# here\n",
    "carriage-returns": "peers_max: 5\r\nlisten: x\rfiles_open_max: y\r\n",
    "byte-order-mark": "\ufeffpeers_max: 5\n",
    "many-mistakes": "peer_max: 5\npeers_max: 017\npeers_max: 6\nlisten:\nio_mode: no\narena_size: 1e9\ncores: [0, 1]\n",
    "unknown-characters": "peers_max: \x1b[2J\x07\n\u202e: 1\n",
    "second-document": "peers_max: 5\n---\npeers_max: 6\n",
    "list": "- a\n- b\n",
    "scalar": "hello",
    "tabs": "peers_max:\t5\n\tlisten: x\n",
    "billion-laughs": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\npeers_max: *c\n",  # [59]
    "merge": "base: &base {peers_max: 5}\n<<: *base\n",
    "tag": "peers_max: !!int 5\n!x listen: y\n",
    "nested": "listen: " + "[" * 100 + "]" * 100 + "\n",
    "nested-keys": "? [a, b]\n: c\n? {d: e}\n: f\n",
    "block-text": "listen: |\n  0.0.0.0:1\n  b\nio_mode: >-\n  di\n  rect\n",
    "quotes-open": "listen: \"0.0.0.0:1\nio_mode: 'auto\n",
    "cores-huge": "cores: 0-18446744073709551615\n",
    "directive-in-greek": "%\x12\u039d~\u039d%n'~n'~\u039d~\u039d\x1cni \0",  # once had its mistake behind its end
    "escapes": 'listen: "\\x41\\u202e\\U0001F600\\n"\n',
}


def shard(faults, first, second=b""):
    """Faults, then the programs of two peers: see `tests/src/sim/scripts/babbler.rs`."""
    longest = max(len(first), len(second))
    return faults.to_bytes(2, "big") + first.ljust(longest, WAIT[:1]) + second


HELLO, PLAIN, BITFIELD, INTEREST, GOODBYE = b"\x00", b"\x81", b"\x0a\x04", b"\x07", b"\x0f"
WAIT, WAIT_LONG = b"\x0d\x64", b"\x0c\xc8"


def ask(piece, block, length=0):
    return bytes([3, piece, block, length])


def cancel(piece, block):
    return bytes([6, piece, block, 0])


ASK_ALL = b"".join(ask(piece, block) for piece in range(4) for block in range(2))

SHARD = {
    "polite": shard(0, HELLO + INTEREST + WAIT + ASK_ALL + WAIT + GOODBYE, PLAIN + BITFIELD + INTEREST + WAIT + ASK_ALL + WAIT),
    "asks-choked": shard(0, HELLO + ASK_ALL + INTEREST + ASK_ALL + b"\x08" + ASK_ALL + WAIT),
    "cancels": shard(0, HELLO + INTEREST + WAIT + (ask(0, 0) + ask(1, 1) + cancel(1, 1) + cancel(3, 3)) * 8 + WAIT),
    "asks-long": shard(0, HELLO + INTEREST + WAIT + ask(0, 0, 6) + ask(0, 1, 5) + ask(2, 0, 7) + WAIT),
    "silent": shard(0, HELLO + WAIT_LONG * 2, WAIT_LONG),
    "metadata": shard(0, HELLO + b"\x0b\x00\x05" + b"\x0b\x41\x00" + b"\x0b\x41\x01" + b"\x0b\x41\x02" + WAIT),
    "nonsense": shard(0, b"\x02\x20" + bytes(range(32)) + b"\x09\x07\x10" + bytes(16) + WAIT),
    "has-everything": shard(0, HELLO + b"\x0a\x00" + INTEREST + WAIT, HELLO + b"\x0a\x03\x01\xff" + WAIT),
    "faults": shard(0x1234, (HELLO + INTEREST + WAIT + ASK_ALL + WAIT) * 4, (PLAIN + INTEREST + WAIT + ASK_ALL + GOODBYE) * 4),
    "more-faults": shard(0x4321, (HELLO + INTEREST + ASK_ALL * 3 + WAIT + GOODBYE) * 4, (HELLO + INTEREST + WAIT + ASK_ALL) * 3),
}


def fetching(circumstances, *steps):
    """Circumstances, then a program: see `tests/src/fuzz/fetching.rs`."""
    return bytes([circumstances]) + b"".join(bytes(step) for step in steps)


COMES, GOES, UNCHOKE, CHOKE, HAVE, BITS, HAVE_ALL, SUGGEST, ALLOW = range(9)
ANSWER, ANSWER_ALL, REFUSE, UNASKED, WANT, REQUEST, CANCEL, EXTENDED, NONSENSE = 9, *range(11, 19)
SPEAK_SLOWLY, READ_SLOWLY, PASS, HOLD, END, _, FULL, PRIORITISE, EXPECT, LIMIT, CALL, CALLED, OWNER = range(19, 32)
SLOTS, SILENT, STOP = 0x20, 0x40, 0x80


def come(peer, slot):
    """A seed, and the place that it has among the connections."""
    return [COMES, peer, HAVE_ALL, slot, 1, UNCHOKE, slot]


def alternate(*steps, times=6):
    return [byte for step in steps for byte in step] * times


FETCHING = {
    f"torrent-{number}": fetching(number, come(0, 0), come(1, 1), alternate([ANSWER_ALL, 0], [ANSWER_ALL, 1]))
    for number in range(8)
}
FETCHING |= {
    "tight": fetching(8 + 5, come(0, 0), come(129, 1), [COMES, 2], alternate([ANSWER_ALL, 1], [ANSWER, 0, 0, 0], [PASS, 200])),
    "liar": fetching(2, come(1, 0), come(0, 1), alternate([ANSWER, 0, 0, 7], [ANSWER, 1, 0, 0], times=30)),
    "two-liars": fetching(5, come(1, 0), come(2, 1), come(0, 2), alternate([ANSWER, 0, 3, 7], [ANSWER_ALL, 1], [ANSWER, 1, 0, 7])),
    "parts-of-blocks": fetching(
        SILENT, come(1, 0), come(0, 1), [SPEAK_SLOWLY, 0, 1], alternate([ANSWER, 0, 0, 0], [SPEAK_SLOWLY, 0, 77], [ANSWER, 1, 0, 0])
    ),
    "left-within-a-block": fetching(1, come(1, 0), come(0, 1), [SPEAK_SLOWLY, 0, 1, ANSWER, 0, 0, 0, SPEAK_SLOWLY, 0, 9, GOES, 0, 1]),
    "chokes": fetching(0, come(129, 0), come(1, 1), alternate([CHOKE, 0], [ANSWER, 1, 0, 0], [CHOKE, 1], [UNCHOKE, 0], [UNCHOKE, 1])),
    "refusals": fetching(0, come(0, 0), come(1, 1), alternate([REFUSE, 0, 1], [REFUSE, 1, 0], [PASS, 140], [ANSWER, 0, 0, 0])),
    "hints": fetching(1, [COMES, 1, ALLOW, 0, 2, ALLOW, 0, 9, SUGGEST, 0, 3, BITS, 0, 255, ANSWER_ALL, 0, HAVE, 0, 1]),
    "unasked": fetching(0, come(1, 0), come(0, 1), alternate([UNASKED, 0, 1, 0, 0], [UNASKED, 0, 1, 1, 1], [UNASKED, 1, 2, 250, 0])),
    "few-requests": fetching(2, [COMES, 1, EXTENDED, 0, 2, 0], [HAVE_ALL, 0, 1, UNCHOKE, 0], alternate([ANSWER, 0, 1, 0], [EXTENDED, 0, 9, 0])),
    "late": fetching(SILENT, come(1, 0), come(2, 1), [PASS, 170, PASS, 170, ANSWER, 0, 0, 0, PASS, 255]),
    "any-order": fetching(0, come(0, 0), come(1, 1), [HOLD, ANSWER_ALL, 0, ANSWER_ALL, 1], alternate([END, 5, 0], [END, 1, 0], times=20)),
    "failures": fetching(0, come(0, 0), [HOLD, ANSWER_ALL, 0], alternate([END, 3, 0], [END, 0, 15], [PASS, 140], times=12)),
    "full-disk": fetching(3, come(0, 0), come(1, 1), [FULL], alternate([ANSWER_ALL, 0], [PASS, 140]), [FULL], alternate([PASS, 140])),
    "wishes": fetching(4, come(0, 0), alternate([PRIORITISE, 0x1B], [ANSWER, 0, 0, 0], [EXPECT, 2, 3, 0], [PRIORITISE, 0xE4])),
    "limits": fetching(1, come(0, 0), [LIMIT, 20, 3], alternate([ANSWER_ALL, 0], [PASS, 50], times=20), [LIMIT, 0, 0]),
    "calls": fetching(0, [CALL, 0, CALL, 1, CALLED, 1, CALLED, 0], [HAVE_ALL, 0, 1, UNCHOKE, 0, ANSWER_ALL, 0, COMES, 0, PASS, 150, CALLED, 1]),
    "removed": fetching(2, come(0, 0), [HOLD, ANSWER_ALL, 0, END, 0, 0, OWNER, 0, OWNER, 1, HOLD], come(1, 1), [ANSWER_ALL, 0, OWNER, 0]),
    "serves": fetching(
        SLOTS, come(0, 0), [ANSWER_ALL, 0, COMES, 2, WANT, 0, 0, WANT, 1, 0], alternate([REQUEST, 0, 1, 1], [REQUEST, 1, 0, 0], [PASS, 150], [CANCEL, 1, 0, 0])
    ),
    "reads-slowly": fetching(SILENT, come(1, 0), [READ_SLOWLY, 0, 0, CHOKE, 0, UNCHOKE, 0, READ_SLOWLY, 0, 9, ANSWER_ALL, 0, PASS, 200]),
    "super-seeding": fetching(1, come(0, 0), alternate([ANSWER_ALL, 0]), [OWNER, 3, 0, COMES, 1, WANT, 0, 0, REQUEST, 0, 0, 0, HAVE, 0, 0]),
    "nonsense": fetching(0, come(1, 0), [NONSENSE, 0, 9, 0, 0, 0, 5, 20, 0, 100, 101, 9, COMES, 2, NONSENSE, 0, 5, 255, 255, 255, 255, 7]),
    "stopped": fetching(STOP, come(0, 0), come(1, 1), [HOLD, ANSWER_ALL, 0, END, 0, 0, ANSWER, 1, 0, 0, CALL, 2]),
}


def made_torrents():
    """Torrents of the tools that are here, of a folder with three files."""
    made = {}
    with tempfile.TemporaryDirectory() as place:
        folder = os.path.join(place, "folder")
        os.makedirs(os.path.join(folder, "sub"))
        for name, length in [("a", 40000), ("sub/b", 1), ("sub/c ü", 20000)]:
            with open(os.path.join(folder, name), "wb") as out:
                out.write(hashlib.shake_128(name.encode()).digest(length))
        out = os.path.join(place, "out.torrent")
        commands = {
            "mktorrent": ["mktorrent", "-l", "15", "-a", "http://t.example/announce", "-d", "-o", out, folder],
            "transmission": ["transmission-create", "-s", "32", "-t", "http://t.example/announce", "-o", out, folder],
        }
        for name, command in commands.items():
            if shutil.which(command[0]):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                with open(out, "rb") as file:
                    made[f"made-by-{name}"] = file.read()
                os.remove(out)
        made.update(made_by_libtorrent(folder))
    return made


def made_by_libtorrent(folder):
    try:
        import libtorrent
    except ImportError:
        return {}
    kinds = libtorrent.create_torrent
    made = {}
    for name, flags in [("version-1", kinds.v1_only), ("hybrid", 0), ("version-2", kinds.v2_only)]:
        creator = kinds(libtorrent.list_files(folder), 16384, flags)
        creator.set_creation_date(0)
        creator.add_tracker("http://t.example/announce", 0)
        libtorrent.set_piece_hashes(creator, os.path.dirname(folder))
        made[f"made-by-libtorrent-{name}"] = libtorrent.bencode(creator.generate())
    return made


def write(corpus, target, seeds):
    directory = os.path.join(corpus, target)
    os.makedirs(directory, exist_ok=True)
    for name, content in seeds.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


def main(corpus):
    with open(os.path.join(ROOT, "config.yaml"), "rb") as file:
        CONFIG["the-defaults"] = file.read()
    write(corpus, "bencode", BENCODE)
    write(corpus, "config", CONFIG)
    write(corpus, "extension", EXTENSION)
    write(corpus, "fetching", FETCHING)
    write(corpus, "handshake", HANDSHAKE)
    write(corpus, "magnet", MAGNET)
    write(corpus, "messages", MESSAGES)
    write(corpus, "metadata", METADATA)
    write(corpus, "metainfo", {**METAINFO, **made_torrents()})
    write(corpus, "shard", SHARD)


main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "tests/fuzz/corpus"))
