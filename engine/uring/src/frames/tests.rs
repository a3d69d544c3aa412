use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use shoal_world::{FRAME_LEN, Frame};

use super::{Frames, advance};

fn parts(bytes: &[&[u8]]) -> Vec<libc::iovec> {
    bytes
        .iter()
        .map(|b| libc::iovec {
            iov_base: b.as_ptr().cast_mut().cast(),
            iov_len: b.len(),
        })
        .collect()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

#[test]
fn parts_advance_over_whole_and_partial_ones() {
    let mut all = parts(&[b"abc", b"", b"defg"]);
    assert_eq!(
        advance(&mut all, 3).iter().map(|p| p.iov_len).collect::<Vec<_>>(),
        [4]
    );
    let mut all = parts(&[b"abc", b"defg"]);
    assert_eq!(
        advance(&mut all, 5).iter().map(|p| p.iov_len).collect::<Vec<_>>(),
        [2]
    );
    let mut all = parts(&[b"abc"]);
    assert!(advance(&mut all, 3).is_empty());
}

/// The kernel's promise on which the hot cache stands: bytes on their way are those that were sent, whatever
/// happens to their place afterwards.
#[test]
fn bytes_in_flight_survive_eviction_and_refilling() {
    let (near, mut far) = pair();
    let mut frames = Frames::new(2).unwrap();
    let old = vec![0xaa; FRAME_LEN as usize];
    let new = vec![0xbb; FRAME_LEN as usize];
    // SAFETY: the parts point into `old`.
    unsafe { frames.fill(Frame(1), &mut parts(&[&old])) }.unwrap();
    let mut sent = 0;
    while let Ok(more @ 1..) = frames.send(near.as_fd(), Frame(1), 0, FRAME_LEN) {
        sent += more as usize;
    }
    assert!(sent > 0);
    frames.discard(Frame(1));
    // SAFETY: the parts point into `new`.
    unsafe { frames.fill(Frame(1), &mut parts(&[&new])) }.unwrap();
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), sent);
    assert!(received.iter().all(|byte| *byte == 0xaa));
}

#[test]
#[should_panic(expected = "written twice")]
fn writing_over_a_written_frame_is_a_defect() {
    let mut frames = Frames::new(1).unwrap();
    for _ in 0..2 {
        // SAFETY: the parts point to a static.
        unsafe { frames.fill(Frame(0), &mut parts(&[b"once"])) }.unwrap();
    }
}
