use std::net::SocketAddr;

use super::listen;

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn all_listeners_share_the_port_that_was_free() {
    let listeners = listen(any_port(), 3).unwrap();
    let address = listeners[0].local_addr().unwrap();
    assert_ne!(address.port(), 0);
    assert!(
        listeners
            .iter()
            .all(|listener| listener.local_addr().unwrap() == address)
    );
}

#[test]
fn an_address_in_use_is_refused_even_where_sockets_could_share_it() {
    let first = listen(any_port(), 2).unwrap();
    let address = first[0].local_addr().unwrap();
    for count in [1, 2] {
        let error = listen(address, count).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
}
