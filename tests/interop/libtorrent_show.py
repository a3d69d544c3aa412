"""Prints the info-hash of a .torrent file as libtorrent reads it, or fails if libtorrent refuses the file.

usage: libtorrent_show.py TORRENT
"""

import sys

import libtorrent

print(libtorrent.load_torrent_file(sys.argv[1]).info_hashes.v1)
