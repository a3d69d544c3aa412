//! shoal, the embeddable BitTorrent engine: what a program that seeds needs, without its command line.

pub mod config;
pub mod machine;
pub mod printable;
pub mod units;
