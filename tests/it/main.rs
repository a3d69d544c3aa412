//! The one integration binary: the real `shoal`, as processes over loopback, and the rules of the tree.
//!
//! One binary because each further one is another link and another start. Where what is: `tests/README.md`.

mod changing_data;
mod circumstances;
mod commands;
mod corpus;
mod differential;
mod downloading;
mod full_disk;
mod handle;
mod hostile_floods;
mod hostile_handshakes;
mod hostile_messages;
mod hostile_metainfo;
mod hostile_seeds;
mod interop_create;
mod interop_fetch;
mod interop_swarm;
mod killed;
mod lifecycle;
mod moving;
mod serving;
mod simulation;
mod streaming;
mod target;
mod tidy;
