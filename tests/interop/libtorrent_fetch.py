"""Fetches torrents with libtorrent from one given peer, then exits 0.

usage: libtorrent_fetch.py HOST:PORT OUT TORRENT|MAGNET...

Prints `fetched INFO_HASH` for each torrent when libtorrent has verified all of it. No DHT, no local discovery, no port
mapping: the only peer is the one given. The caller compares the files and decides how long to wait.
"""

import sys

import libtorrent

ALERTS = libtorrent.alert.category_t

SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # All torrents come from the one address.
    "allow_multiple_connections_per_ip": True,
    "alert_mask": ALERTS.status_notification | ALERTS.error_notification | ALERTS.storage_notification,
}


def main(address, out, torrents):
    host, port = address.rsplit(":", 1)
    session = libtorrent.session(SETTINGS)
    waiting = set()
    for torrent in torrents:
        is_link = torrent.startswith("magnet:")
        parameters = libtorrent.parse_magnet_uri(torrent) if is_link else libtorrent.load_torrent_file(torrent)
        parameters.save_path = out
        # All at once, and started by us: its own queue would leave some for later.
        parameters.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
        handle = session.add_torrent(parameters)
        handle.connect_peer((host, int(port)))
        waiting.add(str(handle.info_hash()))
    while waiting:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, libtorrent.torrent_finished_alert):
                waiting.discard(str(alert.handle.info_hash()))
                print("fetched", alert.handle.info_hash(), flush=True)
            elif isinstance(alert, (libtorrent.torrent_error_alert, libtorrent.file_error_alert)):
                sys.exit(alert.message())
    # What is finished may still be on its way to the disk: a flush answers when all of it is there.
    for handle in session.get_torrents():
        handle.flush_cache()
        wait_for(session, libtorrent.cache_flushed_alert)


def wait_for(session, kind):
    while True:
        session.wait_for_alert(1000)
        if any(isinstance(alert, kind) for alert in session.pop_alerts()):
            return


main(sys.argv[1], sys.argv[2], sys.argv[3:])
