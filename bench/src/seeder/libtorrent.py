"""Seeds or checks torrents with libtorrent for shoal-bench.

usage: libtorrent.py seed|check ADDRESS:PORT DATA TORRENT...

`seed` trusts the data (seed_mode) and serves until it is killed. `check` hashes everything and exits with 0 when all of
it is right. The settings are libtorrent's own `high_performance_seed` preset; what is changed on top of it only turns
off discovery, and lets many connections come from one machine.
"""

import sys
import time

import libtorrent as lt

task, address, data, *torrents = sys.argv[1:]

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

if task == "seed":
    while True:
        time.sleep(3600)

CHECKING = {
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
}
while any(handle.status().state in CHECKING for handle in handles):
    time.sleep(0.01)
sys.stdout.flush()
# Leaving through the interpreter would wait for libtorrent's orderly end, which is not part of a check.
import os

os._exit(0 if all(handle.status().is_seeding for handle in handles) else 1)
