//! Who deserves a slot: the orders in which peers are ranked, and how many slots what they take pays for.
//!
//! While fetching, tit-for-tat (BEP 3): who gives most is given to; who gave nothing although we served it (snubbed)
//! comes last. While seeding, one of three, as libtorrent's `seed_choking_algorithm` defines them. Ranking changes
//! nothing: the choker does.

use std::cmp::Reverse;

use super::{Algorithm, Candidate};

/// Rotations after which a slot may have served its turn: a minute, as in libtorrent.
const TURN_ROTATIONS: u32 = 6;

/// Bytes after which a slot has served its turn, when others wait: 20 pieces of 1 MiB (libtorrent's
/// `seeding_piece_quota`, without its dependence on the torrent's piece length).
const TURN_BYTES: u64 = 20 << 20;

/// Bytes per second that the first peer must take for a second slot to open; libtorrent's
/// `rate_choker_initial_threshold`.
const RATE_FIRST_BYTES_PER_S: u64 = 1 << 10;

/// How much more each further peer must take, as in libtorrent: slots open until bandwidth is spread thin.
const RATE_STEP_BYTES_PER_S: u64 = 2 << 10;

/// How peers are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    TitForTat,
    Seeding(Algorithm),
}

/// A peer that is interested, and how it stands with the choker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) candidate: &'a Candidate,
    /// Rotations that it has been unchoked for; `None`: it waits.
    pub(super) unchoked_rotations: Option<u32>,
    /// Its place among all, the one that was unchoked longest ago first.
    pub(super) place: usize,
}

/// Sorts by it: what is lower is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    after_all_others: bool,
    merit: Reverse<u64>,
    place: usize,
}

impl Policy {
    pub(super) fn rank(self, standing: &Standing<'_>) -> Rank {
        let Candidate {
            given_bytes_per_s,
            taken_bytes_since_unchoke,
            has_fraction,
            snubbed,
            ..
        } = *standing.candidate;
        let (after_all_others, merit) = match self {
            Policy::TitForTat => (snubbed, given_bytes_per_s),
            Policy::Seeding(Algorithm::RoundRobin) => {
                let long = standing
                    .unchoked_rotations
                    .is_some_and(|rotations| rotations >= TURN_ROTATIONS);
                (
                    long && taken_bytes_since_unchoke >= TURN_BYTES,
                    standing.taken_bytes_per_s(),
                )
            }
            Policy::Seeding(Algorithm::Fastest) => (false, standing.taken_bytes_per_s()),
            // Who just began has nothing to trade yet, who is nearly done will soon serve others.
            Policy::Seeding(Algorithm::AntiLeech) => (false, u64::from(has_fraction.abs_diff(500))),
        };
        Rank {
            after_all_others,
            merit: Reverse(merit),
            place: standing.place,
        }
    }

    /// Whether one slot is for trying somebody whose merit cannot be known before it is served. Round robin gets to
    /// everybody by itself.
    pub(super) fn tries_others(self) -> bool {
        self != Policy::Seeding(Algorithm::RoundRobin)
    }
}

impl Standing<'_> {
    /// What it takes from us. What still flows to a peer that was choked is no merit.
    fn taken_bytes_per_s(&self) -> u64 {
        self.unchoked_rotations
            .map_or(0, |_| self.candidate.taken_bytes_per_s)
    }
}

/// Slots that the peers' own speed pays for: one for each that takes more than a threshold that rises with every slot,
/// and one more. Few fast peers get few slots, and a link that is not full gets another slot at every rotation.
pub(super) fn slots_by_rate(standings: &[Standing<'_>]) -> usize {
    let mut rates: Vec<u64> = standings.iter().map(Standing::taken_bytes_per_s).collect();
    rates.sort_unstable_by_key(|rate| Reverse(*rate));
    let thresholds = (0..).map(|slot| RATE_FIRST_BYTES_PER_S + slot * RATE_STEP_BYTES_PER_S);
    1 + rates
        .iter()
        .zip(thresholds)
        .take_while(|(rate, threshold)| **rate >= *threshold)
        .count()
}
