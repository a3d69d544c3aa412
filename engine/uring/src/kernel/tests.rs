mod connecting;
mod datagrams;
mod frames;
mod hashing;
mod payload;
mod writing;

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_world::{Access, Completion, CoreIndex, Errno, Extent, Frame, Gather, Op, Refusal, Socket};

use super::{IoMode, Kernel, Options};
use crate::listen::listen;
use crate::mailbox::Mailbox;

/// A kernel world that is turned until what a test waits for has completed.
struct Bench {
    kernel: Kernel,
    address: SocketAddr,
    ops: Vec<Op>,
    /// Completed, and not yet looked at.
    done: VecDeque<Completion>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(IoMode::Auto)
    }

    fn with(io_mode: IoMode) -> Bench {
        Bench::of(|options| options.io_mode = io_mode)
    }

    fn one_of(mailboxes: &Arc<[Mailbox]>, core: usize) -> Bench {
        Bench::of(|options| {
            options.mailboxes = Arc::clone(mailboxes);
            options.core = core;
        })
    }

    /// A world like all others but for what the caller changes.
    fn of(change: impl FnOnce(&mut Options)) -> Bench {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let mut options = Options {
            extents: 8,
            frames: 4,
            io_mode: IoMode::Auto,
            listener: Some(listener),
            datagrams: None,
            mailboxes: mailboxes(1),
            core: 0,
            hashing: None,
            began: Instant::now(),
        };
        change(&mut options);
        Bench {
            kernel: Kernel::new(options).unwrap(),
            address,
            ops: Vec::new(),
            done: VecDeque::new(),
        }
    }

    /// Turns until a completion is what the caller wants. The deadline only bounds a failing test.
    fn until<T>(&mut self, mut wanted: impl FnMut(&Completion) -> Option<T>) -> T {
        let give_up = self.kernel.now() + Duration::from_secs(20);
        while self.kernel.now() < give_up {
            while let Some(completion) = self.done.pop_front() {
                if let Some(found) = wanted(&completion) {
                    return found;
                }
            }
            let mut done = Vec::new();
            self.kernel
                .turn(&mut self.ops, Some(give_up), || false, &mut done);
            self.done.extend(done);
        }
        panic!("what the test waits for never completed");
    }

    fn connect(&mut self) -> (TcpStream, Socket) {
        let far = TcpStream::connect(self.address).unwrap();
        self.ops.push(Op::Accept);
        let from = far.local_addr().unwrap();
        let socket = self.until(|completion| match completion {
            Completion::Accepted { socket, address } if *address == from => Some(*socket),
            _ => None,
        });
        (far, socket)
    }
}

fn mailboxes(count: usize) -> Arc<[Mailbox]> {
    (0..count).map(|_| Mailbox::new().unwrap()).collect()
}

fn bytes(bytes: &[u8]) -> Box<Gather> {
    let mut gather = Box::new(Gather::default());
    gather.push_bytes(bytes);
    gather
}

fn sent(completion: &Completion) -> Option<Result<u32, Errno>> {
    match completion {
        Completion::Sent { result, .. } => Some(*result),
        _ => None,
    }
}

#[test]
fn a_conversation_goes_both_ways_and_ends() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    bench.ops.push(Op::ReceiveExact { socket, len: 5 });
    far.write_all(b"hello, and more").unwrap();
    let first = bench.until(|completion| match completion {
        Completion::ReceivedExact { bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(first, b"hello");

    bench.ops.push(Op::Receive { socket });
    let buffer = bench.until(|completion| match completion {
        Completion::Received { buffer, .. } => Some(*buffer),
        _ => None,
    });
    assert_eq!(bench.kernel.pool().received(buffer), b", and more");
    bench.kernel.pool().release(buffer);

    bench.ops.push(Op::Send {
        socket,
        gather: bytes(b"welcome"),
    });
    assert_eq!(bench.until(sent), Ok(7));
    let mut answer = [0; 7];
    far.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"welcome");

    drop(far);
    let error = bench.until(|completion| match completion {
        Completion::ReceiveEnded { error, .. } => Some(*error),
        _ => None,
    });
    assert_eq!(error, None);
    bench.ops.push(Op::Close { socket });
    bench.until(|completion| matches!(completion, Completion::Closed { .. }).then_some(()));
}

#[test]
fn a_handshake_cut_short_ends_the_receive() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    bench.ops.push(Op::ReceiveExact { socket, len: 68 });
    far.write_all(&[19; 67]).unwrap();
    drop(far);
    bench
        .until(|completion| matches!(completion, Completion::ReceiveEnded { error: None, .. }).then_some(()));
}

#[test]
fn closing_ends_a_receive_that_is_under_way_and_the_slot_returns_as_another() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    bench.ops.extend([Op::Receive { socket }, Op::Close { socket }]);
    bench.until(|completion| matches!(completion, Completion::Closed { .. }).then_some(()));
    assert_eq!(far.read(&mut [0; 1]).unwrap_or(0), 0);
    let (_far, again) = bench.connect();
    assert_eq!(again.slot, socket.slot);
    assert_ne!(again.generation, socket.generation);
}

/// A slot's end and its next life may complete in the same turn: the end comes first. Connections arrive from another
/// thread while others close, until both have often met in one turn.
#[test]
fn a_slot_is_closed_before_it_is_used_again() {
    const CONNECTIONS: usize = 3_000;
    let mut bench = Bench::new();
    let address = bench.address;
    let visitors = std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            drop(TcpStream::connect(address).unwrap());
        }
    });
    let mut open = std::collections::BTreeSet::new();
    let mut closed = 0;
    bench.ops.push(Op::Accept);
    while closed < CONNECTIONS {
        let mut ops = Vec::new();
        bench.until(|completion| {
            match completion {
                Completion::Accepted { socket, .. } => {
                    assert!(
                        open.insert(socket.slot),
                        "a slot was used again before its end was told"
                    );
                    ops.extend([Op::Receive { socket: *socket }, Op::Close { socket: *socket }]);
                }
                Completion::Closed { socket } => {
                    assert!(open.remove(&socket.slot));
                    closed += 1;
                }
                _ => {}
            }
            Some(())
        });
        bench.ops.append(&mut ops);
    }
    visitors.join().unwrap();
}

#[test]
fn a_socket_that_nobody_reads_takes_a_part_and_says_when_it_takes_more() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    let mut total = 0_usize;
    let filler = vec![7; 1 << 20];
    loop {
        bench.ops.push(Op::Send {
            socket,
            gather: bytes(&filler),
        });
        let took = bench.until(sent).unwrap() as usize;
        total += took;
        if took < filler.len() {
            break;
        }
    }
    bench.ops.push(Op::AwaitWritable { socket });
    let reader = std::thread::spawn(move || {
        let mut left = total;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let some = left.min(buffer.len());
            left -= far.read(&mut buffer[..some]).unwrap();
        }
        far
    });
    bench.until(|completion| matches!(completion, Completion::Writable { .. }).then_some(()));
    bench.ops.push(Op::Send {
        socket,
        gather: bytes(b"more"),
    });
    assert_eq!(bench.until(sent), Ok(4));
    reader.join().unwrap();
}

#[test]
fn files_are_read_into_extents_and_sent_framed_or_gathered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payload");
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
    fs::write(&path, &content).unwrap();
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();

    bench.ops.push(Op::Open {
        token: 9,
        path: Arc::from(path.as_path()),
        access: Access::Read,
    });
    let opened = bench.until(|completion| match completion {
        Completion::Opened { token: 9, result } => Some(result.unwrap()),
        _ => None,
    });
    assert_eq!(opened.stamp.size, 300_000);
    let read = Op::Read {
        token: 4,
        file: opened.file,
        offset: 262_144,
        extent: Extent(7),
        start: 4096,
        len: 65_536,
    };
    bench.ops.push(read);
    let read = bench.until(|completion| match completion {
        Completion::Read { token: 4, result } => Some(result.unwrap()),
        _ => None,
    });
    assert_eq!(read.len, 300_000 - 262_144, "the file ends inside the read");
    assert_eq!(read.stamp, opened.stamp);

    let mut gather = Box::new(Gather::default());
    gather.push_bytes(b"head");
    gather.push_extent(Extent(7), 4096, 100);
    bench.ops.push(Op::Fill {
        frame: Frame(2),
        gather: gather.clone(),
    });
    bench.until(|completion| matches!(completion, Completion::Filled { result: Ok(()), .. }).then_some(()));
    bench.ops.push(Op::SendFramed {
        socket,
        frame: Frame(2),
        start: 2,
        len: 102,
    });
    assert_eq!(bench.until(sent), Ok(102));
    bench.ops.push(Op::Send { socket, gather });
    assert_eq!(bench.until(sent), Ok(104));
    let mut received = [0; 206];
    far.read_exact(&mut received).unwrap();
    let payload = &content[262_144..262_244];
    assert_eq!(&received[..2], b"ad");
    assert_eq!(&received[2..102], payload);
    assert_eq!(&received[102..106], b"head");
    assert_eq!(&received[106..], payload);
    bench.ops.extend([
        Op::Discard { frame: Frame(2) },
        Op::CloseFile { file: opened.file },
    ]);
    bench.ops.push(Op::Stamp {
        token: 1,
        path: Arc::from(path.as_path()),
    });
    let stamp = bench.until(|completion| match completion {
        Completion::Stamped { token: 1, result } => Some(result.unwrap()),
        _ => None,
    });
    assert_eq!(stamp, opened.stamp);
}

fn check_refused(path: &Path, expected: Refusal) {
    let mut bench = Bench::new();
    bench.ops.push(Op::Open {
        token: 0,
        path: Arc::from(path),
        access: Access::Read,
    });
    let refused = bench.until(|completion| match completion {
        Completion::Opened { result, .. } => Some(result.unwrap_err()),
        _ => None,
    });
    assert_eq!(refused, expected);
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    check_refused(&pipe, Refusal::NotRegular);
    check_refused(directory.path(), Refusal::NotRegular);
    check_refused(
        &directory.path().join("nothing"),
        Refusal::Errno(Errno(libc::ENOENT)),
    );
}

#[test]
fn a_connection_is_handed_to_another_core_with_what_was_read() {
    let mailboxes = mailboxes(2);
    let mut here = Bench::one_of(&mailboxes, 0);
    let (mut far, socket) = here.connect();
    let first = b"already read".to_vec();
    here.ops.push(Op::HandOver {
        socket,
        core: CoreIndex(1),
        first: first.clone(),
    });
    let mut done = Vec::new();
    here.kernel.turn(&mut here.ops, None, || true, &mut done);

    let mut there = Bench::one_of(&mailboxes, 1);
    let (socket, bytes_before) = there.until(|completion| match completion {
        Completion::Arrived { socket, first, .. } => Some((*socket, first.clone())),
        _ => None,
    });
    assert_eq!(bytes_before, first);
    there.ops.push(Op::Send {
        socket,
        gather: bytes(b"hi"),
    });
    assert_eq!(there.until(sent), Ok(2));
    let mut answer = [0; 2];
    far.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hi");
}

#[test]
fn more_connections_than_buffers_all_deliver() {
    let mut bench = Bench::new();
    let ends: Vec<(TcpStream, Socket)> = (0..1500).map(|_| bench.connect()).collect();
    for (far, socket) in &ends {
        bench.ops.push(Op::Receive { socket: *socket });
        let mut far = far;
        far.write_all(b"x").unwrap();
    }
    // The buffers are held back until the kernel has no more, then released one by one.
    let mut held = Vec::new();
    let mut delivered = 0;
    while delivered < 1500 {
        let buffer = bench.until(|completion| match completion {
            Completion::Received { buffer, .. } => Some(*buffer),
            _ => None,
        });
        delivered += 1;
        held.push(buffer);
        if held.len() == 1024 {
            for buffer in held.drain(..) {
                bench.kernel.pool().release(buffer);
            }
        }
    }
}
