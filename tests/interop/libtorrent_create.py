"""Creates a v1 torrent of PATH with libtorrent and prints its info-hash.

usage: libtorrent_create.py PATH PIECE_LENGTH OUT

libtorrent takes the files in the order of the directory, which no two machines agree on; they are sorted by the bytes
of their paths here, as mktorrent and shoal do.
"""

import os
import sys

import libtorrent


def main(path, piece_length, out):
    files = sorted(libtorrent.list_files(path), key=lambda file: os.fsencode(file.filename))
    creator = libtorrent.create_torrent(files, int(piece_length), libtorrent.create_torrent.v1_only)
    libtorrent.set_piece_hashes(creator, os.path.dirname(path))
    with open(out, "wb") as file:
        file.write(libtorrent.bencode(creator.generate()))
    print(libtorrent.load_torrent_file(out).info_hashes.v1)


main(*sys.argv[1:])
