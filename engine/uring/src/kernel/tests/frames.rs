//! Framed extents that are emptied and written again while a receiver has not read what was sent.

use std::io::Read;
use std::thread;

use shoal_world::{Completion, FRAME_LEN, Frame, Op, Socket};

use super::{Bench, bytes, sent};

const FRAME: Frame = Frame(1);

impl Bench {
    fn fill(&mut self, byte: u8) {
        let gather = bytes(&vec![byte; FRAME_LEN as usize]);
        self.ops.push(Op::Fill { frame: FRAME, gather });
        self.until(|completion| {
            matches!(completion, Completion::Filled { result: Ok(()), .. }).then_some(())
        });
    }

    /// Sends from the framed extent until the socket takes no more, and says how much it took.
    fn send_all_it_takes(&mut self, socket: Socket) -> usize {
        let mut total = 0;
        loop {
            self.ops.push(Op::SendFramed {
                socket,
                frame: FRAME,
                start: 0,
                len: FRAME_LEN,
            });
            let took = self.until(sent).unwrap();
            total += took as usize;
            if took < FRAME_LEN {
                return total;
            }
        }
    }
}

/// Three generations of the same place are on their way to one receiver who reads none of them, until the last is
/// in the socket. He gets each as it was sent.
#[test]
fn a_receiver_that_stops_reading_gets_the_old_bytes_and_then_the_new() {
    let mut bench = Bench::new();
    let (mut far, socket) = bench.connect();
    bench.fill(0xaa);
    let old = bench.send_all_it_takes(socket);
    assert!(old > 0);
    bench.ops.push(Op::Discard { frame: FRAME });
    bench.fill(0xbb);

    // He reads one byte less than was sent first, and stops again: the socket has room, and old pages are still in it.
    let mut received = vec![0; old - 1];
    far.read_exact(&mut received).unwrap();
    assert!(received.iter().all(|byte| *byte == 0xaa));
    bench.ops.push(Op::AwaitWritable { socket });
    bench.until(|completion| matches!(completion, Completion::Writable { .. }).then_some(()));
    let new = bench.send_all_it_takes(socket);
    assert!(new > 0);
    bench.ops.push(Op::Discard { frame: FRAME });
    bench.fill(0xcc);

    let reader = thread::spawn(move || {
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        rest
    });
    bench.ops.push(Op::Close { socket });
    bench.until(|completion| matches!(completion, Completion::Closed { .. }).then_some(()));
    let rest = reader.join().unwrap();
    assert_eq!(rest.len(), 1 + new);
    assert_eq!(rest[0], 0xaa);
    assert!(rest[1..].iter().all(|byte| *byte == 0xbb));
}
