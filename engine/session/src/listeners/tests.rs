use super::bind;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

/// Somebody who listens, and where.
fn somebody() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

#[test]
fn an_address_that_becomes_free_is_waited_for() {
    let (somebody, address) = somebody();
    let binding = thread::spawn(move || bind(address, 2, Duration::MAX));
    drop(somebody);
    let bound = binding.join().expect("no panic").expect("bound");
    let addresses = bound.iter().map(|listener| listener.local_addr().expect("bound"));
    assert!(addresses.eq([address; 2]));
}

#[test]
fn an_address_that_stays_in_use_is_refused() {
    let (_somebody, address) = somebody();
    for patience in [Duration::ZERO, Duration::from_millis(50)] {
        let refused = bind(address, 1, patience).expect_err("in use");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    }
}

#[test]
fn an_address_of_another_machine_is_refused_without_waiting() {
    // RFC 5737: an address for documentation, which no machine has.
    let address = SocketAddr::from(([192, 0, 2, 1], 6881));
    let refused = bind(address, 1, Duration::MAX).expect_err("not ours");
    assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
}
