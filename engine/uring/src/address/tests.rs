use std::net::SocketAddr;

use super::{RawAddress, mapped, parse, unmap};

#[test]
fn an_address_comes_back_as_it_was_written() {
    for address in ["1.2.3.4:5", "[2001:db8::1]:65535", "[::ffff:1.2.3.4]:5"] {
        let address: SocketAddr = address.parse().unwrap();
        let raw = RawAddress::new(address);
        // SAFETY: the storage holds `len` initialised bytes.
        let bytes = unsafe { std::slice::from_raw_parts(raw.as_ptr().cast::<u8>(), raw.len() as usize) };
        assert_eq!(parse(bytes), Some(address));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None, "an address cut short");
    }
    assert_eq!(parse(&[]), None);
    assert_eq!(parse(&[1, 0, 0, 0]), None, "a family that is not the internet's");
}

#[test]
fn an_ipv4_address_goes_through_an_ipv6_socket_and_comes_back() {
    let v4: SocketAddr = "1.2.3.4:5".parse().unwrap();
    let v6: SocketAddr = "[fe80::1%3]:5".parse().unwrap();
    assert_eq!(mapped(v4), "[::ffff:1.2.3.4]:5".parse().unwrap());
    assert_eq!(unmap(mapped(v4)), v4);
    assert_eq!(unmap(v6), v6, "its scope is kept");
    assert_eq!(mapped(v6), v6);
}
