"""Seeds a torrent with libtorrent until it is told to end.

usage: libtorrent_seed.py HOST TORRENT DATA BYTES_PER_SECOND [lie]

Prints `ready HOST:PORT` when libtorrent has checked the data and listens. No DHT, no local discovery, no port
mapping. With `lie` the files below DATA are changed after the check, one byte in every 64 KiB: what it sends is wrong,
and it does not know.
"""

import os
import signal
import sys
import time

import libtorrent

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # Many clients on one machine.
    "allow_multiple_connections_per_ip": True,
    "alert_mask": libtorrent.alert.category_t.error_notification,
}

CORRUPT_EVERY = 64 * 1024


def corrupt(data):
    for directory, _, names in os.walk(data):
        for name in names:
            with open(os.path.join(directory, name), "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                for offset in range(0, size, CORRUPT_EVERY):
                    file.seek(offset)
                    byte = file.read(1)[0]
                    file.seek(offset)
                    file.write(bytes([byte ^ 0xFF]))


def main(host, torrent, data, bytes_per_second, lie):
    session = libtorrent.session({**SETTINGS, "listen_interfaces": f"{host}:0"})
    handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": data})
    # Of the torrent and not of the session, whose limits pass over local peers.
    handle.set_upload_limit(int(bytes_per_second))
    while not handle.status().is_seeding or session.listen_port() == 0:
        error = handle.status().errc
        if error.value():
            raise SystemExit(error.message())
        time.sleep(0.05)
    if lie:
        corrupt(data)
    print(f"ready {host}:{session.listen_port()}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:5], lie=sys.argv[5:] == ["lie"])
