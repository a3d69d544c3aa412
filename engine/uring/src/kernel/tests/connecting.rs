//! Connections that this side begins: reached, refused, unanswered, many at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::time::Duration;

use shoal_world::{Completion, Errno, Op, Socket};

use super::{Bench, bytes, sent};

/// Longer than any connect that can succeed takes.
const LONG: Duration = Duration::from_secs(20);

impl Bench {
    fn call(&mut self, address: SocketAddr, timeout: Duration) -> Result<Socket, Errno> {
        self.ops.push(Op::Connect {
            token: 3,
            address,
            timeout,
        });
        self.until(|completion| match completion {
            Completion::Connected { token: 3, result } => Some(*result),
            _ => None,
        })
    }
}

fn check_reaches(listener: &TcpListener) {
    let mut bench = Bench::new();
    let socket = bench.call(listener.local_addr().unwrap(), LONG).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    bench.ops.push(Op::Send {
        socket,
        gather: bytes(b"hello"),
    });
    assert_eq!(bench.until(sent), Ok(5));
    let mut heard = [0; 5];
    far.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    bench.ops.push(Op::ReceiveExact { socket, len: 7 });
    far.write_all(b"welcome").unwrap();
    bench.until(|completion| matches!(completion, Completion::ReceivedExact { .. }).then_some(()));
    bench.ops.push(Op::Close { socket });
    bench.until(|completion| matches!(completion, Completion::Closed { .. }).then_some(()));
    assert_eq!(far.read(&mut heard).unwrap(), 0);
}

#[test]
fn a_connection_that_we_begin_is_one_like_any_other() {
    check_reaches(&TcpListener::bind("127.0.0.1:0").unwrap());
    check_reaches(&TcpListener::bind("[::1]:0").unwrap());
}

#[test]
fn a_connection_is_refused_where_nobody_listens() {
    // Bound and not listening, so that nobody else can come to listen there.
    let bound = crate::tcp::listening("127.0.0.1:1".parse().unwrap()).unwrap();
    let any = crate::address::RawAddress::new("127.0.0.1:0".parse().unwrap());
    // SAFETY: the address lives for the call and is as long as it says.
    let result = unsafe { libc::bind(bound.as_raw_fd(), any.as_ptr(), any.len()) };
    assert_eq!(result, 0);
    let address = TcpListener::from(bound).local_addr().unwrap();
    let mut bench = Bench::new();
    assert_eq!(bench.call(address, LONG), Err(Errno(libc::ECONNREFUSED)));
}

#[test]
fn a_connection_that_nobody_answers_is_given_up() {
    // A listener whose queue is full drops what asks for a connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: no memory is passed.
    let result = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(result, 0);
    let address = listener.local_addr().unwrap();
    let mut bench = Bench::new();
    assert!(
        bench.call(address, LONG).is_ok(),
        "the queue takes one more than it is told"
    );
    let mut given_up = (0..4).filter_map(|_| bench.call(address, Duration::from_millis(100)).err());
    assert_eq!(given_up.next(), Some(Errno(libc::ETIMEDOUT)));
}

/// A turn that fills the submission queue many times over: connects stay linked with their timeouts.
#[test]
fn more_connections_than_the_queue_holds_are_begun_in_one_turn() {
    const CONNECTIONS: u32 = 2_000;
    let mut bench = Bench::new();
    let address = bench.address;
    bench.ops.push(Op::Accept);
    for token in 0..CONNECTIONS {
        bench.ops.push(Op::Connect {
            token,
            address,
            timeout: LONG,
        });
    }
    let (mut connected, mut accepted) = (0, 0);
    while connected < CONNECTIONS || accepted < CONNECTIONS {
        bench.until(|completion| {
            match completion {
                Completion::Connected { result, .. } => {
                    assert!(result.is_ok(), "{result:?}");
                    connected += 1;
                }
                Completion::Accepted { .. } => accepted += 1,
                _ => {}
            }
            Some(())
        });
    }
}
