use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use super::{CongestionControl, LOCAL_CONGESTION_CONTROL, listen};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn congestion_control(stream: &TcpStream) -> String {
    let mut name = [0_u8; 16];
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: `name` is valid for writing `len` bytes.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            name.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    assert_eq!(result, 0);
    String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
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

#[test]
fn peers_on_this_machine_are_not_paced_and_others_get_the_systems_choice() {
    let listener = listen(any_port(), 1).unwrap().remove(0);
    let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, address) = listener.accept().unwrap();
    let system = CongestionControl::of_system();
    system.apply(&accepted, address);
    assert_eq!(congestion_control(&accepted), LOCAL_CONGESTION_CONTROL);
    system.apply(&accepted, "192.0.2.1:6881".parse().unwrap());
    assert_eq!(congestion_control(&accepted), system.0);
}
