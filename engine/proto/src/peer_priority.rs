//! Which of two peers to keep when there is no room for both (BEP 40).
//!
//! The priority of a connection follows from the addresses of its two ends, so both ends agree on it and nobody can
//! choose it: a swarm in which everybody keeps the connections of highest priority stays connected, and whoever comes from
//! many addresses of one network gains little, because most of an address is masked.
//! It knows nothing of connections.

use std::net::{IpAddr, SocketAddr};

/// The priority of a connection between two ends, the same in either order. Higher is kept.
///
/// ```
/// # use shoal_proto::peer_priority::peer_priority;
/// let one = "123.213.32.10:6881".parse().unwrap();
/// let other = "98.76.54.32:6881".parse().unwrap();
/// assert_eq!(peer_priority(one, other), 0xec2d_7224);
/// ```
pub fn peer_priority(one: SocketAddr, other: SocketAddr) -> u32 {
    let (first, second) = match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (first, second) if first == second => {
            let ports = (one.port().to_be_bytes(), other.port().to_be_bytes());
            (ports.0.to_vec(), ports.1.to_vec())
        }
        (IpAddr::V4(first), IpAddr::V4(second)) => masked(&first.octets(), &second.octets(), 2),
        (IpAddr::V6(first), IpAddr::V6(second)) => masked(&first.octets(), &second.octets(), 6),
        // Between families there is nothing in common to mask by.
        (first, second) => (octets(first), octets(second)),
    };
    let (low, high) = if first <= second {
        (first, second)
    } else {
        (second, first)
    };
    crc32c(low.iter().chain(&high).copied())
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Both addresses, whole for the first `whole` bytes, by half for the rest. Ends of the same network keep a byte more, ends
/// of the same subnet all of them.
fn masked(first: &[u8], second: &[u8], whole: usize) -> (Vec<u8>, Vec<u8>) {
    let whole = match () {
        () if first[..=whole] == second[..=whole] => first.len(),
        () if first[..whole] == second[..whole] => whole + 1,
        () => whole,
    };
    let mask = |address: &[u8]| {
        let bytes = address.iter().enumerate();
        bytes
            .map(|(at, byte)| if at < whole { *byte } else { byte & 0x55 })
            .collect()
    };
    (mask(first), mask(second))
}

/// CRC-32C (Castagnoli), bit by bit: eight bytes a connection are not worth a table.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
