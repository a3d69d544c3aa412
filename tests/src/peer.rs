//! A scripted BitTorrent peer on a blocking socket: it says exactly what the test tells it to say.
//!
//! It knows how to frame messages (BEP 3, BEP 6, BEP 10) and nothing else: no state, no politeness, no limit on
//! nonsense. [`crate::fetch`] is the honest client built from it.
//!
//! Invariants:
//! - A read or write that makes no progress for [`PATIENCE`] is an error, never a hang.
//! - That the other side hung up is always [`io::ErrorKind::UnexpectedEof`], whether it closed or reset.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::sample::Block;

/// The protocol string of BEP 3, with its length before it.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Reserved bits of a peer that knows the fast extension (BEP 6) and the extension protocol (BEP 10).
pub const FAST_AND_EXTENDED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];

/// Reserved bits of a peer that knows BEP 3 only.
pub const PLAIN: [u8; 8] = [0; 8];

/// No message of a seed is longer than a block with its header, a bitfield of a test torrent or an extension handshake.
const FRAME_LEN_MAX: u32 = 1 << 20;

/// The 68 bytes with which a connection starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Extension bits.
    pub reserved: [u8; 8],
    /// Which torrent.
    pub info_hash: [u8; 20],
    /// Who speaks.
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// The handshake of a fresh peer with these extension bits.
    pub fn new(info_hash: [u8; 20], reserved: [u8; 8]) -> Handshake {
        static PEERS: AtomicU32 = AtomicU32::new(0);
        let peer_id = format!("-TS0001-{:012}", PEERS.fetch_add(1, Ordering::Relaxed));
        Handshake {
            reserved,
            info_hash,
            peer_id: peer_id.as_bytes().try_into().expect("8 and 12 bytes"),
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        [
            PROTOCOL.as_slice(),
            &self.reserved,
            &self.info_hash,
            &self.peer_id,
        ]
        .concat()
    }
}

/// One message, as it stands on the wire after its length.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and fields are those of BEP 3, 6 and 10")]
pub enum Message {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have { piece: u32 },
    Bitfield { bits: Vec<u8> },
    Request(Block),
    Piece { piece: u32, offset: u32, data: Vec<u8> },
    Cancel(Block),
    Suggest { piece: u32 },
    HaveAll,
    HaveNone,
    Reject(Block),
    AllowedFast { piece: u32 },
    Extended { id: u8, payload: Vec<u8> },
    Unknown { id: u8, payload: Vec<u8> },
}

impl Message {
    /// The message with its length prefix.
    pub fn encode(&self) -> Vec<u8> {
        let place = |block: &Block| numbers(&[block.piece, block.offset, block.len]);
        match self {
            Message::KeepAlive => 0u32.to_be_bytes().to_vec(),
            Message::Choke => frame(0, &[]),
            Message::Unchoke => frame(1, &[]),
            Message::Interested => frame(2, &[]),
            Message::NotInterested => frame(3, &[]),
            Message::Have { piece } => frame(4, &numbers(&[*piece])),
            Message::Bitfield { bits } => frame(5, bits),
            Message::Request(block) => frame(6, &place(block)),
            Message::Piece { piece, offset, data } => {
                frame(7, &[numbers(&[*piece, *offset]), data.clone()].concat())
            }
            Message::Cancel(block) => frame(8, &place(block)),
            Message::Suggest { piece } => frame(13, &numbers(&[*piece])),
            Message::HaveAll => frame(14, &[]),
            Message::HaveNone => frame(15, &[]),
            Message::Reject(block) => frame(16, &place(block)),
            Message::AllowedFast { piece } => frame(17, &numbers(&[*piece])),
            Message::Extended { id, payload } => frame(20, &[&[*id], payload.as_slice()].concat()),
            Message::Unknown { id, payload } => frame(*id, payload),
        }
    }

    /// Reads a message from its bytes after the length prefix.
    pub(crate) fn decode(frame: &[u8]) -> Message {
        let Some((&id, payload)) = frame.split_first() else {
            return Message::KeepAlive;
        };
        let number = |index: usize| {
            let bytes = payload
                .get(index * 4..index * 4 + 4)
                .unwrap_or_else(|| panic!("message {id} is too short"));
            u32::from_be_bytes(bytes.try_into().expect("four bytes"))
        };
        let block = || Block {
            piece: number(0),
            offset: number(1),
            len: number(2),
        };
        match id {
            0 => Message::Choke,
            1 => Message::Unchoke,
            2 => Message::Interested,
            3 => Message::NotInterested,
            4 => Message::Have { piece: number(0) },
            5 => Message::Bitfield {
                bits: payload.to_vec(),
            },
            6 => Message::Request(block()),
            7 => Message::Piece {
                piece: number(0),
                offset: number(1),
                data: payload[8..].to_vec(),
            },
            8 => Message::Cancel(block()),
            13 => Message::Suggest { piece: number(0) },
            14 => Message::HaveAll,
            15 => Message::HaveNone,
            16 => Message::Reject(block()),
            17 => Message::AllowedFast { piece: number(0) },
            20 => Message::Extended {
                id: payload[0],
                payload: payload[1..].to_vec(),
            },
            _ => Message::Unknown {
                id,
                payload: payload.to_vec(),
            },
        }
    }
}

/// A message of any id: length prefix, id, payload.
pub fn frame(id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 1).expect("no test sends 4 GiB");
    [&len.to_be_bytes(), [id].as_slice(), payload].concat()
}

/// Big-endian words, one after the other.
pub fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A connection of the test to the program under test.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn connect(address: SocketAddr) -> io::Result<Peer> {
        Peer::accepted(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// A connection that the program under test began.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn accepted(stream: TcpStream) -> io::Result<Peer> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Peer { stream })
    }

    /// Connects and exchanges handshakes, announcing these extension bits.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn greet(address: SocketAddr, info_hash: [u8; 20], reserved: [u8; 8]) -> io::Result<Peer> {
        let mut peer = Peer::connect(address)?;
        peer.send(&Handshake::new(info_hash, reserved).encode())?;
        let answer = peer.receive_handshake()?;
        assert_eq!(answer.info_hash, info_hash, "the answer is for another torrent");
        Ok(peer)
    }

    /// Greets, says it is interested and waits until it is unchoked.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn unchoked(address: SocketAddr, info_hash: [u8; 20], reserved: [u8; 8]) -> io::Result<Peer> {
        let mut peer = Peer::greet(address, info_hash, reserved)?;
        peer.say(&Message::Interested)?;
        while peer.receive()? != Message::Unchoke {}
        Ok(peer)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).map_err(hung_up)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn say(&mut self, message: &Message) -> io::Result<()> {
        self.send(&message.encode())
    }

    /// Reads the other side's handshake.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn receive_handshake(&mut self) -> io::Result<Handshake> {
        let mut bytes = [0; 68];
        self.fill(&mut bytes)?;
        assert_eq!(&bytes[..20], PROTOCOL, "not the protocol string");
        let field =
            |range: std::ops::Range<usize>| <[u8; 20]>::try_from(&bytes[range]).expect("twenty bytes");
        let reserved = bytes[20..28].try_into().expect("eight bytes");
        Ok(Handshake {
            reserved,
            info_hash: field(28..48),
            peer_id: field(48..68),
        })
    }

    /// Reads one message.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn receive(&mut self) -> io::Result<Message> {
        let mut len = [0; 4];
        self.fill(&mut len)?;
        let len = u32::from_be_bytes(len);
        assert!(len <= FRAME_LEN_MAX, "a message of {len} bytes");
        let mut frame = vec![0; len as usize];
        self.fill(&mut frame)?;
        Ok(Message::decode(&frame))
    }

    /// Reads messages until one of them, or the end of the connection, decides.
    ///
    /// # Errors
    /// What the kernel said, or that the other side hung up.
    pub fn receive_until<T>(&mut self, mut decide: impl FnMut(Message) -> Option<T>) -> io::Result<T> {
        loop {
            if let Some(decision) = decide(self.receive()?) {
                return Ok(decision);
            }
        }
    }

    /// Reads and throws away until the other side hangs up.
    ///
    /// # Panics
    /// If it has not done so within [`PATIENCE`] of silence.
    pub fn expect_hang_up(&mut self) {
        self.expect_hang_up_while(PATIENCE, |_| Ok(()));
    }

    /// Calls `nag` every `interval` until the other side hangs up, which it must do within [`PATIENCE`].
    ///
    /// # Panics
    /// If it does not.
    pub fn expect_hang_up_while(
        &mut self,
        interval: Duration,
        mut nag: impl FnMut(&mut Peer) -> io::Result<()>,
    ) {
        self.stream
            .set_read_timeout(Some(interval))
            .expect("a socket takes a timeout");
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = [0; 64 * 1024];
        while Instant::now() < deadline {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if nag(self).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        panic!("the connection was not closed within {PATIENCE:?}");
    }

    /// Says that nothing more will be sent, and keeps reading possible.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(bytes).map_err(hung_up)
    }
}

fn hung_up(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            io::Error::new(io::ErrorKind::UnexpectedEof, error)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
