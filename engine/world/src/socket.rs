//! A connection by number.

/// One connection of this core: a slot and which life of the slot it is.
///
/// Slots are dense and reused, so a shard may index a vector with them; the generation tells a late completion of an
/// earlier connection from one of the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// Index of the slot, dense from 0.
    pub slot: u32,
    /// Which life of the slot; 24 bits are significant.
    pub generation: u32,
}
