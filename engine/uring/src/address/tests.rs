use std::net::SocketAddr;

use super::unmap;

#[test]
fn an_ipv4_peer_of_an_ipv6_socket_has_its_own_address() {
    let v4: SocketAddr = "1.2.3.4:5".parse().unwrap();
    assert_eq!(unmap("[::ffff:1.2.3.4]:5".parse().unwrap()), v4);
    assert_eq!(unmap(v4), v4);
    let v6: SocketAddr = "[fe80::1%3]:5".parse().unwrap();
    assert_eq!(unmap(v6), v6, "its scope is kept");
}
