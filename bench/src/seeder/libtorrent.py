"""Seeds, checks or fetches torrents with libtorrent for shoal-bench.

usage: libtorrent.py seed|check|fetch ADDRESS:PORT DATA PEER,... TORRENT...

`seed` trusts the data (seed_mode) and serves until it is killed. `check` hashes everything and exits with 0 when all of
it is right. `fetch` takes everything from the peers and exits with 0 when it is verified and written. PEER is empty for
the first two. The settings are libtorrent's own `high_performance_seed` preset; what is changed on top of it only turns
off discovery and encryption, lets many connections come from one machine, and takes back what the preset takes from
fetching.
"""

import os
import sys
import time

import libtorrent as lt

task, address, data, peers, *torrents = sys.argv[1:]

settings = lt.high_performance_seed()
settings.update(
    {
        "listen_interfaces": address,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        # Both cores hash during a check; with the preset's default of one hashing thread only one would.
        "hashing_threads": 2,
    }
)
if task == "fetch":
    settings.update(
        {
            "hashing_threads": 1,  # it has one core
            "out_enc_policy": 2,  # never: the default tries an encrypted handshake first
            "in_enc_policy": 2,
            # The preset's 7 MiB stop the sockets again and again while the disk writes; this is the default.
            "max_queued_disk_bytes": lt.default_settings()["max_queued_disk_bytes"],
            "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification,
        }
    )
session = lt.session(settings)

handles = []
for torrent in torrents:
    parameters = lt.load_torrent_file(torrent)
    parameters.save_path = data
    parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if task == "seed":
        parameters.flags |= lt.torrent_flags.seed_mode
    parameters.max_connections = 2000
    parameters.max_uploads = -1
    handles.append(session.add_torrent(parameters))


def wait_for(kind, ask=lambda handle: None):
    """Sleeps until every torrent has had an alert of this kind, and asks for it again while it has not."""
    waiting = set(handles)
    while waiting:
        for handle in waiting:
            ask(handle)
        session.wait_for_alert(1_000)
        waiting -= {alert.handle for alert in session.pop_alerts() if isinstance(alert, kind)}


def checking():
    states = lt.torrent_status.states
    return any(handle.status().state in (states.checking_files, states.checking_resume_data) for handle in handles)


if task == "seed":
    while True:
        time.sleep(3600)
if task == "check":
    while checking():
        time.sleep(0.01)
if task == "fetch":
    for peer in peers.split(","):
        host, port = peer.rsplit(":", 1)
        for handle in handles:
            handle.connect_peer((host, int(port)))
    wait_for(lt.torrent_finished_alert)
    # One run in some thirty never hears of a cache that was flushed while the last piece was written.
    wait_for(lt.cache_flushed_alert, lambda handle: handle.flush_cache())
sys.stdout.flush()
# Leaving through the interpreter would wait for libtorrent's orderly end, which is not part of the task.
os._exit(0 if all(handle.status().is_seeding for handle in handles) else 1)
