//! A tracker of a few lines: whoever announces is told the same peers, in compact form (BEP 23).
//!
//! Real clients need one to hear of a seed without DHT or local discovery. It keeps no state, so the clients of
//! one test do not hear of each other.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::PATIENCE;
use crate::bencode::Value;

/// Serves announces on `address` (port chosen by the kernel) until the test process ends, and returns the URL.
///
/// # Errors
/// What the kernel said.
pub fn serve(address: Ipv4Addr, peers: &[SocketAddrV4]) -> io::Result<String> {
    let listener = TcpListener::bind((address, 0))?;
    let url = format!("http://{}/announce", listener.local_addr()?);
    let body: Arc<[u8]> = announce_response(peers).into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = Arc::clone(&body);
            // A client that connects and says nothing keeps nobody waiting; one that hangs up early asks again.
            thread::spawn(move || answer(&stream, &body));
        }
    });
    Ok(url)
}

fn announce_response(peers: &[SocketAddrV4]) -> Vec<u8> {
    let compact = peers.iter().flat_map(|peer| {
        let [high, low] = peer.port().to_be_bytes();
        peer.ip().octets().into_iter().chain([high, low])
    });
    Value::dictionary([
        ("complete", Value::Integer(1)),
        ("incomplete", Value::Integer(0)),
        ("interval", Value::Integer(60)),
        ("peers", Value::Bytes(compact.collect())),
    ])
    .encode()
}

fn answer(mut stream: &TcpStream, body: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
