//! Conformance: one suite that both worlds pass, so that the simulator is held to what the kernel does.
//!
//! Every case is a function over a [`stage::Stage`], which plays on a [`stage::World`]: the kernel with real sockets and
//! files ([`kernel`]), or the simulator ([`simulated`]) without faults and with those that healthy systems have. A case
//! asserts what the contract of `shoal-world` says and what a shard may rely on; where the worlds may differ (how much
//! a socket takes, how a stream is cut) it accepts everything that the contract allows.
//!
//! It does not test shards, and nothing here knows BitTorrent.

mod stage;

mod kernel;
mod simulated;

mod buffers;
mod calls;
mod closing;
mod datagrams;
mod defects;
mod files;
mod frames;
mod hashing;
mod payload;
mod sockets;
mod writing;

/// Makes two tests of each case, one for each world.
macro_rules! on_both_worlds {
    ($($case:ident),+ $(,)?) => {
        mod kernel {
            $(
                #[test]
                fn $case() {
                    super::$case(&mut crate::stage::Stage::new(crate::kernel::world()));
                }
            )+
        }

        mod simulated {
            $(
                #[test]
                fn $case() {
                    crate::simulated::play(super::$case);
                }
            )+
        }
    };
}
use on_both_worlds;
