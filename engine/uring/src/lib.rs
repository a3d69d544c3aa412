//! The world as Linux provides it: rings, registered memory, files, sockets, hashing threads.
//!
//! [`kernel::Kernel`] performs the operations of one shard through one io_uring; [`scan`] reads whole files as fast as
//! their disk gives them and hashes them; [`hash`] holds the hashing kernels and their threads. This crate performs
//! and never decides, and it does not know that BitTorrent exists.
//!
//! It is the only crate with unsafe code. Each block says who upholds its conditions; the rules that all of them
//! stand on: memory that the kernel may touch is owned by a world until the final completion of the operation that
//! names it, and a ring is used and dropped on the thread that made it.

mod address;
pub mod descriptors;
mod doorbell;
mod files;
mod frames;
pub mod hash;
pub mod kernel;
mod lent;
mod listen;
mod mailbox;
mod memory;
#[cfg(test)]
mod played;
mod received;
mod ring;
pub mod scan;
mod setup;
mod sockets;
mod stamp;
mod sync;
mod tcp;

pub use doorbell::Doorbell;
pub use listen::listen;
pub use mailbox::Mailbox;
pub use setup::Refused;
pub use stamp::stamp;
