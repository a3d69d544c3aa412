//! Who is unchoked.
//!
//! Without a bound everybody who is interested is unchoked at once. With a bound, peers wait in a queue, and a slot
//! that becomes free goes to the one that waits longest. At every rotation slots are given anew: by tit-for-tat while
//! fetching, by the chosen algorithm while seeding (`ranking`). Where merit decides, one slot is for trying somebody
//! else, anew at every third rotation: the optimistic unchoke of BEP 3.
//!
//! It decides who, never how fast, and measures nothing: rates are what its caller saw.
//!
//! Invariants: with a bound, a peer that is interested stands in exactly one of the queues, and no more are served than
//! there are slots, except until the next rotation when slots by rate became fewer.

mod ranking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shoal_world::{Rng, Socket, Time};

use ranking::{Policy, Standing, slots_by_rate};

/// Slots by rate before any rate is known: what the reference client had (BEP 3).
const SLOTS_FIRST: usize = 4;

/// A peer is tried for so many rotations: 30 s, time enough to be unchoked by it in turn (BEP 3).
const TRIED_ROTATIONS: u32 = 3;

/// A connection younger than this is new: two turns of trying.
const NEW_FOR: Duration = Duration::from_secs(60);

/// How much likelier a new peer is to be tried, because it has nothing to trade with yet (BEP 3).
const NEW_WEIGHT: u32 = 3;

/// How many peers of a torrent are unchoked at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Everybody who is interested.
    Unlimited,
    /// So many.
    Fixed(u32),
    /// As many as take enough from us: each further slot asks for 2 KiB/s more from the peer that it rests on. It is
    /// what libtorrent calls its rate based choker.
    ByRate,
}

/// Whom to serve while seeding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in turn: a slot goes on when its peer got 20 MiB, a minute at least, and others wait.
    #[default]
    RoundRobin,
    /// Who takes most per second: the fastest way to bring out what one has.
    Fastest,
    /// Who has just begun or is nearly done before those who linger between and might only take.
    AntiLeech,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Unchoke(Socket),
    Choke(Socket),
}

/// A peer when slots are given anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) socket: Socket,
    pub(crate) interested: bool,
    /// What it sends us.
    pub(crate) given_bytes_per_s: u64,
    /// What we send to it.
    pub(crate) taken_bytes_per_s: u64,
    pub(crate) taken_bytes_since_unchoke: u64,
    /// How much of the torrent it has, in thousandths.
    pub(crate) has_fraction: u32,
    /// It let us wait too long for what it was asked for, and gave nothing since.
    pub(crate) snubbed: bool,
    /// When it connected.
    pub(crate) joined: Time,
}

/// A peer that is unchoked, since this rotation.
#[derive(Clone, Copy, Debug)]
struct Served {
    socket: Socket,
    rotation: u32,
}

/// The slots of one torrent.
#[derive(Debug)]
pub(crate) struct Choker {
    slots: Slots,
    algorithm: Algorithm,
    /// How many may be served now. `None`: no bound, and nobody stands in a queue.
    bound: Option<usize>,
    /// Unchoked, the one served longest first.
    served: VecDeque<Served>,
    /// The one that waits longest first.
    waiting: VecDeque<Socket>,
    /// Who is served to see what it does.
    tried: Option<Socket>,
    rotation: u32,
}

impl Choker {
    pub(crate) fn new(slots: Slots, algorithm: Algorithm) -> Choker {
        Choker {
            slots,
            algorithm,
            bound: match slots {
                Slots::Unlimited => None,
                Slots::Fixed(count) => Some(count as usize),
                Slots::ByRate => Some(SLOTS_FIRST),
            },
            served: VecDeque::new(),
            waiting: VecDeque::new(),
            tried: None,
            rotation: 0,
        }
    }

    /// A peer that is choked became interested.
    pub(crate) fn interested(&mut self, socket: Socket) -> Option<Change> {
        self.waiting.push_back(socket);
        self.fill()
    }

    /// A peer lost interest or is gone; it is choked from here on. Who takes its slot.
    pub(crate) fn leaves(&mut self, socket: Socket) -> Option<Change> {
        // Where nothing is bounded nobody waits, and nobody's place in a queue matters.
        self.bound?;
        self.waiting.retain(|other| *other != socket);
        self.served.retain(|other| other.socket != socket);
        self.tried = self.tried.filter(|other| *other != socket);
        self.fill()
    }

    /// Slots are given anew, by what everybody does; peers that are not among `candidates` lose theirs. Chokes come
    /// before unchokes.
    pub(crate) fn rotate(
        &mut self,
        candidates: &[Candidate],
        fetching: bool,
        now: Time,
        rng: &mut Rng,
    ) -> Vec<Change> {
        self.rotation += 1;
        let mut standings = self.standings(candidates);
        if self.slots == Slots::ByRate {
            self.bound = Some(slots_by_rate(&standings));
        }
        let Some(slots) = self.bound else {
            return Vec::new();
        };
        let policy = if fetching {
            Policy::TitForTat
        } else {
            Policy::Seeding(self.algorithm)
        };
        standings.sort_unstable_by_key(|standing| policy.rank(standing));
        // Where there is one slot only, merit has it.
        let for_trying = usize::from(policy.tries_others() && slots > 1 && standings.len() > slots);
        let (best, others) = standings.split_at((slots - for_trying).min(standings.len()));
        let mut chosen: BTreeSet<Socket> = best.iter().map(|standing| standing.candidate.socket).collect();
        self.tried = if for_trying == 1 {
            self.try_one(others, now, rng)
        } else {
            None
        };
        chosen.extend(self.tried);
        self.give_to(&chosen)
    }

    /// Whether a rotation would change anything.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The candidates that are interested, and how each stands.
    fn standings<'a>(&self, candidates: &'a [Candidate]) -> Vec<Standing<'a>> {
        let waiting = self.waiting.iter().map(|socket| (*socket, None));
        let served = self.served.iter();
        let served = served.map(|served| (served.socket, Some(self.rotation - served.rotation)));
        let places: BTreeMap<Socket, (usize, Option<u32>)> = waiting
            .chain(served)
            .enumerate()
            .map(|(place, (socket, rotations))| (socket, (place, rotations)))
            .collect();
        let interested = candidates.iter().filter(|candidate| candidate.interested);
        let standings = interested.filter_map(|candidate| {
            let (place, unchoked_rotations) = *places.get(&candidate.socket)?;
            Some(Standing {
                candidate,
                unchoked_rotations,
                place,
            })
        });
        standings.collect()
    }

    /// Who is tried of those whose merit is not enough: the same as before for three rotations, then somebody else.
    fn try_one(&self, others: &[Standing<'_>], now: Time, rng: &mut Rng) -> Option<Socket> {
        let is_tried = |standing: &&Standing<'_>| Some(standing.candidate.socket) == self.tried;
        if !self.rotation.is_multiple_of(TRIED_ROTATIONS) && others.iter().any(|other| is_tried(&other)) {
            return self.tried;
        }
        let weights = others.iter().filter(|other| !is_tried(other)).map(|other| {
            let is_new = now.since(other.candidate.joined) < NEW_FOR;
            (other.candidate.socket, if is_new { NEW_WEIGHT } else { 1 })
        });
        let total: u32 = weights.clone().map(|(_, weight)| weight).sum();
        let mut draw = rng.below(total);
        for (socket, weight) in weights {
            if draw < weight {
                return Some(socket);
            }
            draw -= weight;
        }
        self.tried
    }

    /// Serves exactly the chosen.
    fn give_to(&mut self, chosen: &BTreeSet<Socket>) -> Vec<Change> {
        let mut changes = Vec::new();
        let (kept, ended): (VecDeque<Served>, VecDeque<Served>) = self
            .served
            .iter()
            .partition(|served| chosen.contains(&served.socket));
        let (begun, waiting): (VecDeque<Socket>, VecDeque<Socket>) =
            self.waiting.iter().partition(|socket| chosen.contains(socket));
        changes.extend(ended.iter().map(|served| Change::Choke(served.socket)));
        changes.extend(begun.iter().map(|socket| Change::Unchoke(*socket)));
        self.served = kept;
        self.waiting = waiting;
        self.waiting.extend(ended.iter().map(|served| served.socket));
        begun.into_iter().for_each(|socket| self.serve(socket));
        changes
    }

    fn fill(&mut self) -> Option<Change> {
        let Some(slots) = self.bound else {
            return self.waiting.pop_front().map(Change::Unchoke);
        };
        if self.served.len() >= slots {
            return None;
        }
        let socket = self.waiting.pop_front()?;
        self.serve(socket);
        Some(Change::Unchoke(socket))
    }

    fn serve(&mut self, socket: Socket) {
        let rotation = self.rotation;
        self.served.push_back(Served { socket, rotation });
    }
}

#[cfg(test)]
mod tests;
