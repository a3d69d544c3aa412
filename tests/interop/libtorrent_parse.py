"""Says what libtorrent makes of documents: as bencode and as torrent files.

usage: libtorrent_parse.py DOCUMENTS

DOCUMENTS holds each document behind its length in four bytes, big-endian. Prints one line of JSON for each:

    {"bencode": {"value": HEX} or {"error": TEXT}, "torrent": {…} or {"error": TEXT}}

HEX is the value as libtorrent writes it again.
"""

import json
import struct
import sys
import warnings

import libtorrent

# file_storage is deprecated in favour of what the Python module does not offer yet.
warnings.simplefilter("ignore", DeprecationWarning)

PADDING, SYMLINK = libtorrent.file_flags_t.flag_pad_file, libtorrent.file_flags_t.flag_symlink


def documents(path):
    with open(path, "rb") as file:
        while prefix := file.read(4):
            yield file.read(*struct.unpack(">I", prefix))


def bencode(document):
    return {"value": libtorrent.bencode(libtorrent.bdecode(document)).hex()}


def torrent(document):
    info = libtorrent.load_torrent_buffer(document).ti
    storage = info.files()
    return {
        "info_hash": str(info.info_hashes().v1),
        "name": info.name(),
        "piece_length": info.piece_length(),
        "pieces": info.num_pieces(),
        "private": info.priv(),
        "files": [file(storage, index) for index in range(storage.num_files())],
    }


def file(storage, index):
    flags = storage.file_flags(index)
    return {
        "path": storage.file_path(index),
        "length": storage.file_size(index),
        "padding": bool(flags & PADDING),
        "symlink": storage.symlink(index) if flags & SYMLINK else None,
    }


def told(read, document):
    try:
        return read(document)
    except RuntimeError as error:
        return {"error": str(error)}


def main(path):
    for document in documents(path):
        print(json.dumps({"bencode": told(bencode, document), "torrent": told(torrent, document)}))


main(sys.argv[1])
