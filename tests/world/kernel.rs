//! The kernel's world with real sockets, files and datagrams around it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use shoal_tests::PATIENCE;
use shoal_tests::place::Place;
use shoal_uring::hash::pool;
use shoal_uring::kernel::{IoMode, JOBS_PER_CORE_MAX, Kernel, Options};
use shoal_uring::{Mailbox, listen};
use shoal_world::{Completion, Op, Pool};

use crate::stage::{Change, Far, Turn, World};

/// Looks without waiting: what a look is to find has happened already, and the first takes it.
const LOOKS: u32 = 3;

/// Two kernels on this thread, and their surroundings.
struct KernelWorld {
    kernels: Vec<Kernel>,
    address: SocketAddr,
    datagrams: SocketAddr,
    fars: Vec<Option<TcpStream>>,
    listeners: BTreeMap<SocketAddr, TcpListener>,
    /// Sockets that only have to exist.
    kept: Vec<OwnedFd>,
    far_datagrams: BTreeMap<SocketAddr, UdpSocket>,
    small_disk: Option<SmallDisk>,
    // Last: what stands in it is open until the kernels are gone.
    place: Place,
}

/// A world as the kernel provides it.
pub(crate) fn world() -> Box<dyn World> {
    let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::new().expect("an eventfd")).collect();
    let pool = pool::Pool::new(&pool::Options {
        threads: NonZeroUsize::MIN,
        processors: Vec::new(),
        waiting_max: JOBS_PER_CORE_MAX.saturating_mul(NonZeroUsize::new(2).expect("two cores")),
    });
    let pool = Arc::new(pool.expect("a thread"));
    let listener = listen("127.0.0.1:0".parse().expect("an address"), 1)
        .expect("a free port")
        .remove(0);
    let address = listener.local_addr().expect("a bound socket");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let datagram_address = datagrams.local_addr().expect("a bound socket");
    let (mut listener, mut datagrams) = (Some(listener), Some(datagrams));
    let mut kernel = |core| {
        Kernel::new(Options {
            extents: 8,
            frames: 4,
            io_mode: IoMode::Auto,
            listener: listener.take(),
            datagrams: datagrams.take(),
            mailboxes: Arc::clone(&mailboxes),
            core,
            hashing: Some(Arc::clone(&pool)),
            began: Instant::now(),
        })
        .expect("a kernel with io_uring")
    };
    Box::new(KernelWorld {
        kernels: vec![kernel(0), kernel(1)],
        address,
        datagrams: datagram_address,
        fars: Vec::new(),
        listeners: BTreeMap::new(),
        kept: Vec::new(),
        far_datagrams: BTreeMap::new(),
        small_disk: None,
        place: Place::new(),
    })
}

impl KernelWorld {
    fn far(&mut self, far: Far) -> &mut TcpStream {
        self.fars[far.0].as_mut().expect("a far end that was closed")
    }

    fn keep_far(&mut self, stream: TcpStream) -> Far {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout that is not zero");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a timeout that is not zero");
        self.fars.push(Some(stream));
        Far(self.fars.len() - 1)
    }
}

impl World for KernelWorld {
    fn turn(&mut self, core: usize, ops: &mut Vec<Op>, turn: Turn, done: &mut Vec<Completion>) {
        let kernel = &mut self.kernels[core];
        if turn == Turn::Looks {
            for _ in 0..LOOKS {
                kernel.turn(ops, None, || true, done);
            }
            return;
        }
        let give_up = kernel.now() + PATIENCE;
        while done.is_empty() {
            assert!(kernel.now() < give_up, "nothing ever completed");
            kernel.turn(ops, Some(give_up), || false, done);
        }
    }

    fn pool(&mut self, core: usize) -> &mut dyn Pool {
        self.kernels[core].pool()
    }

    fn buffers(&self) -> usize {
        1024
    }

    fn dial(&mut self) -> (Far, SocketAddr) {
        let stream = TcpStream::connect(self.address).expect("a listener");
        let from = stream.local_addr().expect("a connected socket");
        (self.keep_far(stream), from)
    }

    fn listen(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        self.listeners.insert(address, listener);
        address
    }

    fn answer(&mut self, at: SocketAddr) -> Far {
        let (stream, _) = self.listeners[&at].accept().expect("a visitor");
        self.keep_far(stream)
    }

    fn refusing(&mut self) -> SocketAddr {
        // Bound and not listening: nobody else comes to listen there.
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        rustix::net::bind(&socket, &any).expect("a free port");
        let socket = TcpListener::from(socket);
        let address = socket.local_addr().expect("a bound socket");
        self.kept.push(socket.into());
        address
    }

    fn silent(&mut self) -> SocketAddr {
        // A listener whose queue is full drops what asks for a connection.
        let address = self.listen();
        rustix::net::listen(&self.listeners[&address], 0).expect("it listens already");
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            self.kept.push(stream.into());
        }
        address
    }

    fn say(&mut self, far: Far, bytes: &[u8]) {
        self.far(far).write_all(bytes).expect("the connection stands");
    }

    fn hear(&mut self, far: Far, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.far(far)
            .take(len as u64)
            .read_to_end(&mut bytes)
            .expect("the stream goes on or ends in order");
        bytes
    }

    fn finish(&mut self, far: Far) {
        self.far(far)
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
    }

    fn close(&mut self, far: Far) {
        self.fars[far.0] = None;
    }

    fn reset(&mut self, far: Far) {
        sockopt::set_socket_linger(self.far(far), Some(Duration::ZERO)).expect("a TCP socket");
        self.close(far);
    }

    fn datagrams(&self) -> SocketAddr {
        self.datagrams
    }

    fn bind(&mut self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout that is not zero");
        let address = socket.local_addr().expect("a bound socket");
        self.far_datagrams.insert(address, socket);
        address
    }

    fn send_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.far_datagrams[&from]
            .send_to(bytes, self.datagrams)
            .expect("room in a socket");
    }

    fn receive_datagram(&mut self, at: SocketAddr) -> (SocketAddr, Vec<u8>) {
        let mut bytes = vec![0; 65_536];
        let (len, from) = self.far_datagrams[&at].recv_from(&mut bytes).expect("a datagram");
        bytes.truncate(len);
        (from, bytes)
    }

    fn directory(&self) -> Arc<Path> {
        Arc::from(self.place.data())
    }

    fn small_disk(&mut self, room: u64) -> Option<Arc<Path>> {
        let at = self.place.path().join("disk");
        fs::create_dir(&at).expect("the place is ours");
        self.small_disk = SmallDisk::mount(&at, 2 * room);
        fs::write(self.small_disk.as_ref()?.filler(), vec![0; room as usize]).expect("half of the disk");
        Some(Arc::from(at))
    }

    fn make_room(&mut self) {
        let disk = self.small_disk.as_ref().expect("a small disk");
        fs::remove_file(disk.filler()).expect("what was put there");
    }

    fn put(&mut self, path: &Arc<Path>, bytes: &[u8]) {
        // Another file takes the name, as a new download does.
        let new = path.with_extension("new");
        fs::write(&new, bytes).expect("the place is ours");
        fs::rename(new, path).expect("the place is ours");
    }

    fn change(&mut self, path: &Arc<Path>, change: Change<'_>) {
        let open = || fs::OpenOptions::new().write(true).open(path);
        let result = match change {
            Change::Write(bytes) => open().and_then(|file| file.write_all_at(bytes, 0)),
            Change::Truncate(len) => open().and_then(|file| file.set_len(len)),
            Change::Touch => {
                let away = path.with_extension("away");
                fs::rename(path, &away).and_then(|()| fs::rename(away, path))
            }
            Change::Mode => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
            Change::Delete => fs::remove_file(path),
        };
        result.expect("the file is ours");
    }

    fn content(&mut self, path: &Path) -> Vec<u8> {
        fs::read(path).expect("the file is there")
    }

    fn age(&mut self) {
        let path = self.place.path().join("clock");
        let now = || {
            fs::write(&path, b"tick").expect("the place is ours");
            fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .expect("a time of change")
        };
        let before = now();
        while now() == before {
            std::thread::yield_now();
        }
    }
}

/// A file system of its own in memory, as long as the value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` without the right to mount.
    fn mount(at: &Path, size: u64) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o"]).arg(format!("size={size}"));
        let mounted = mount.args(["shoal-test"]).arg(at).output().ok()?;
        mounted.status.success().then(|| SmallDisk(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a kernel that a failing test dropped may still hold files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
