use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use super::{CongestionControl, LOCAL_CONGESTION_CONTROL, connecting};
use crate::listen::listen;

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn congestion_control(socket: RawFd) -> String {
    let mut name = [0_u8; 16];
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: `name` is valid for writing `len` bytes.
    let result = unsafe {
        libc::getsockopt(
            socket,
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
fn peers_on_this_machine_are_not_paced_and_others_get_the_systems_choice() {
    let listener: TcpListener = listen(any_port(), 1).unwrap().remove(0);
    let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, address) = listener.accept().unwrap();
    let system = CongestionControl::of_system();
    system.apply(&accepted, address);
    assert_eq!(congestion_control(accepted.as_raw_fd()), LOCAL_CONGESTION_CONTROL);
    let elsewhere = "192.0.2.1:6881".parse().unwrap();
    system.apply(&accepted, elsewhere);
    assert_eq!(congestion_control(accepted.as_raw_fd()), system.0);

    let near = connecting(listener.local_addr().unwrap()).unwrap();
    assert_eq!(congestion_control(near.as_raw_fd()), LOCAL_CONGESTION_CONTROL);
    let far = connecting(elsewhere).unwrap();
    assert_eq!(congestion_control(far.as_raw_fd()), system.0);
}
